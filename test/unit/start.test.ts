import './build-constants.ts';
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { Orders } from '../../tasks/EntraTokenV1/background/orders.ts';
import { findAgent } from '../../tasks/EntraTokenV1/background/processes.ts';
import { startBackground } from '../../tasks/EntraTokenV1/background/start.ts';
import { Failure } from '../../tasks/EntraTokenV1/failure/failure.ts';

const folder = mkdtempSync(join(tmpdir(), 'unit-start-'));
after(() => rmSync(folder, { recursive: true }));

const orders: Orders = {
  folder,
  step: undefined,
  job: { agent: { pid: process.pid, startTime: undefined }, withStepMs: 0 },
  network: {
    proxy: undefined,
    bypass: { hosts: [] },
    authorities: undefined,
    extraAuthoritiesFile: undefined,
    bundledAuthoritiesOnly: false,
    clientCertificate: undefined,
    skipCertificateValidation: false,
  },
  source: { kind: 'lateBound', token: 'x' },
  file: undefined,
  endpoint: undefined,
};

/** Starts a program in the place of the background process. */
function start(text: string): ReturnType<typeof startBackground> {
  const script = join(folder, `${text.length}.cjs`);
  writeFileSync(script, text);
  return startBackground(
    script,
    orders,
    () => undefined,
    () => undefined,
  );
}

const answering = (word: string): string =>
  `process.stdin.resume().on('end', () => { process.stdout.write(${JSON.stringify(word)}); });`;

describe('the background process', () => {
  it('says where it listens when it has its orders', async () => {
    const { pid, port } = await start(answering('{"port":41741}\n'));
    assert.ok(pid > 0);
    assert.equal(port, 41741);
  });

  it('that cannot listen fails the step with the reason of the system', async () => {
    await assert.rejects(start(answering('{"cannotListen":"EADDRNOTAVAIL"}\n')), (error) => {
      assert.ok(error instanceof Failure);
      assert.equal(error.code, 'ET_ENDPOINT');
      assert.match(error.happened, /127\.0\.0\.1 \(EADDRNOTAVAIL\)/);
      return true;
    });
  });

  it('that ends without a word fails the step', async () => {
    await assert.rejects(start('process.exit(3)'), (error) => {
      assert.ok(error instanceof Failure);
      assert.equal(error.code, 'ET_REFRESHER');
      assert.match(error.happened, /code 3/);
      return true;
    });
  });
});

describe('the agent above a step', () => {
  it('may end with the step in a job container, for longer than elsewhere', async () => {
    const inContainer = (await findAgent(process.pid, undefined, true, undefined))?.withStepMs ?? 0;
    const onMachine = (await findAgent(process.pid, undefined, false, undefined))?.withStepMs ?? 0;
    assert.ok(inContainer > onMachine, `${inContainer} ms, ${onMachine} ms`);
  });

  it('is nobody where what started the step is gone', async () => {
    assert.equal(await findAgent(2 ** 22 - 1, undefined, false, undefined), undefined);
  });
});
