import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { unzipSync } from 'fflate';
import { parse } from 'yaml';
import { readAudit } from '../../scripts/audit.ts';
import { bundleFolder, distFolder, readJson, root } from '../../scripts/layout.ts';
import { bundledPackages, notices, softwareBill } from '../../scripts/notices.ts';
import { setVersion, withHeading } from '../../scripts/version.ts';
import { packagedExtension } from '../rehearsal.ts';

const scratch = mkdtempSync(join(tmpdir(), 'entra-token-release-'));
after(() => rmSync(scratch, { recursive: true, force: true }));

function readText(...path: string[]): string {
  return readFileSync(join(root, ...path), 'utf8');
}

/** Builds the package into a folder of its own; gives its bytes and its name. */
async function build(folder: string, ...options: string[]): Promise<{ name: string; bytes: Buffer }> {
  const place = join(scratch, folder);
  const script = join(root, 'scripts', 'package.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', script, '--quiet', ...options], {
    cwd: root,
    env: { ...process.env, ENTRA_TOKEN_BUILD_FOLDER: place },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  assert.equal(await new Promise((resolve) => child.once('close', resolve)), 0);
  const names = readdirSync(join(place, 'dist')).filter((file) => file.endsWith('.vsix'));
  assert.equal(names.length, 1);
  const [name = ''] = names;
  return { name, bytes: readFileSync(join(place, 'dist', name)) };
}

describe('a build', () => {
  let usual: Buffer;
  let again: Buffer;
  let development: { name: string; bytes: Buffer };

  before(async () => {
    const builds = await Promise.all([
      build('again'),
      build('development', '--overrides', 'release/development.json', '--version', '1.0.77'),
    ]);
    again = builds[0].bytes;
    development = builds[1];
    usual = readFileSync(packagedExtension());
  });

  it('gives the same bytes in another folder, at another time', () => {
    assert.ok(usual.equals(again), 'the package of dist/ and the one just built differ');
  });

  it('is private; the public release overrides that alone', () => {
    assert.doesNotMatch(text(usual, 'extension.vsixmanifest'), /<GalleryFlags>[^<]*Public/);
    assert.deepEqual(readJson('release/public.json'), { extension: { public: true } });
  });

  it('for development has an ID, a name and a version of its own, so that it stands beside the released one', () => {
    const task = JSON.parse(text(development.bytes, 'EntraTokenV1/task.json'));
    const released = readJson('tasks/EntraTokenV1/task.json');
    assert.equal(development.name, 'entra-token.entra-token-development-1.0.77.vsix');
    assert.notEqual(task.id, released['id']);
    assert.equal(task.name, 'EntraTokenDevelopment');
    assert.deepEqual(task.version, { Major: 1, Minor: 0, Patch: 77 });
    assert.deepEqual(task.inputs, released['inputs']);
    assert.deepEqual(task.restrictions, released['restrictions']);
  });

  it('of another version says so in its bill of materials and to the services', () => {
    const bill = JSON.parse(readFileSync(join(scratch, 'development', 'dist', 'sbom.cdx.json'), 'utf8'));
    assert.equal(bill.metadata.component.version, '1.0.77');
    assert.ok(text(development.bytes, 'EntraTokenV1/step.js').includes('EntraToken/1.0.77'));
  });

  function text(vsix: Uint8Array, name: string): string {
    return Buffer.from(unzipSync(vsix)[name] ?? []).toString('utf8');
  }
});

describe('what ships of others', () => {
  const meta = JSON.parse(readFileSync(join(bundleFolder, 'meta.json'), 'utf8'));
  const packages = bundledPackages(meta);

  it('is what the bundler put in, counted by another way', () => {
    const found = new Set<string>();
    for (const { inputs } of Object.values<{ inputs: Record<string, { bytesInOutput: number }> }>(meta.outputs)) {
      for (const [path, { bytesInOutput }] of Object.entries(inputs)) {
        const parts = path.split('/');
        const at = parts.lastIndexOf('node_modules');
        if (at >= 0 && bytesInOutput > 0 && !path.startsWith('left-out:')) {
          found.add(parts.slice(at + 1, at + (parts[at + 1]?.startsWith('@') ? 3 : 2)).join('/'));
        }
      }
    }
    assert.deepEqual(packages.map(({ name }) => name).sort(), [...found].sort());
    assert.ok(found.has('@azure/msal-node'));
  });

  it('is in the notices, each with its licence', () => {
    const shipped = unzipSync(readFileSync(packagedExtension()))['THIRD-PARTY-NOTICES.txt'] ?? new Uint8Array();
    const text = Buffer.from(shipped).toString('utf8');
    assert.equal(text, notices(packages));
    for (const { name, version, text: licence } of packages) {
      assert.ok(text.includes(`${name} ${version} (`), name);
      assert.ok(licence.length > 200, `${name} has a licence of ${licence.length} characters`);
    }
  });

  it('is in the bill of materials, each with the digest of the lockfile', () => {
    const text = readFileSync(join(distFolder, 'sbom.cdx.json'), 'utf8');
    assert.equal(text, softwareBill(packages));
    const bill = JSON.parse(text);
    assert.equal(bill.bomFormat, 'CycloneDX');
    assert.equal(bill.components.length, packages.length);
    for (const { name, hashes, licenses, purl } of bill.components) {
      assert.equal(hashes.length, 1, `${name} has no digest`);
      assert.match(hashes[0].content, /^[0-9a-f]{128}$/);
      assert.equal(licenses.length, 1, name);
      assert.match(purl, /^pkg:npm\//);
    }
  });

  it('has its reason in docs/dependencies.md, and so has what does not ship', () => {
    const page = readText('docs', 'dependencies.md');
    const manifest = readJson('package.json');
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
      for (const name of Object.keys(manifest[kind] ?? {})) {
        assert.ok(page.includes(`\`${name}\``), `${name} has no reason`);
      }
    }
  });

  it('is what docs/dependencies.md lists as shipped, and nothing else', () => {
    const [, section = ''] = /^## In the package\n([\s\S]*?)^## /m.exec(readText('docs', 'dependencies.md')) ?? [];
    const rows = section.split('\n').filter((line) => line.startsWith('| `'));
    const listed = rows.flatMap((row) => [...row.matchAll(/`([^`]+)`/g)].map(([, name]) => name));
    const bill = JSON.parse(readFileSync(join(distFolder, 'sbom.cdx.json'), 'utf8'));
    assert.deepEqual(listed.sort(), bill.components.map(({ name }: { name: string }) => name).sort());
  });
});

describe('the dependencies', () => {
  it('are pinned to one version', () => {
    const manifest = readJson('package.json');
    for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
      for (const [name, version] of Object.entries(manifest[kind] ?? {})) {
        assert.match(String(version), /^(?:npm:[\w-]+@)?\d+\.\d+\.\d+$/, name);
      }
    }
  });

  it('are locked by content, and not to a host', () => {
    const lock = readText('package-lock.json');
    assert.doesNotMatch(lock, /"resolved"/);
    const { packages } = JSON.parse(lock);
    for (const [path, entry] of Object.entries<{ integrity?: string; link?: boolean }>(packages)) {
      assert.ok(path === '' || entry.integrity?.startsWith('sha512-'), `${path} has no digest`);
    }
  });
});

describe('the audit', () => {
  const report = (vulnerabilities: object): string => JSON.stringify({ auditReportVersion: 2, vulnerabilities });
  const cases: [name: string, output: string, kind: string][] = [
    ['no vulnerability', report({}), 'clean'],
    [
      'a vulnerability',
      report({ q: { severity: 'high', range: '<=1.5.1', via: [{ title: 'Prototype pollution' }] } }),
      'vulnerable',
    ],
    ['one that comes by another package', report({ a: { severity: 'low', range: '*', via: ['q'] } }), 'vulnerable'],
    // A registry without audits must not look like a clean bill of health.
    ['a registry that does not answer', '{"error":{"code":"ENOAUDIT","summary":"no audits here"}}', 'unanswered'],
    ['an answer of a proxy', '{"message":"request failed"}', 'unanswered'],
    ['no JSON', 'npm ERR!', 'unanswered'],
    ['nothing', '', 'unanswered'],
    ['a report of another version', '{"auditReportVersion":1,"vulnerabilities":{}}', 'unanswered'],
  ];
  for (const [name, output, kind] of cases) {
    it(`of ${name} is ${kind}`, () => assert.equal(readAudit(output).kind, kind));
  }

  it('names the package, the versions and the fault', () => {
    const verdict = readAudit(report({ q: { severity: 'high', range: '<=1.5.1', via: [{ title: 'Pollution' }] } }));
    assert.deepEqual(verdict, { kind: 'vulnerable', lines: ['q <=1.5.1: high: Pollution'] });
  });
});

describe('npm run version', () => {
  const copy = join(scratch, 'copy');
  const files = ['package.json', 'package-lock.json', 'vss-extension.json', 'CHANGELOG.md'];
  const taskFile = join('tasks', 'EntraTokenV1', 'task.json');
  before(() => {
    mkdirSync(join(copy, 'tasks', 'EntraTokenV1'), { recursive: true });
    for (const file of [...files, taskFile]) {
      cpSync(join(root, file), join(copy, file));
    }
  });

  it('sets the version everywhere, and touches nothing else', () => {
    const version = '1.20.3';
    setVersion(version, copy);
    const before = String(readJson('package.json')['version']);
    for (const file of files.slice(0, 3)) {
      const now = readFileSync(join(copy, file), 'utf8');
      assert.ok(now.includes(`"version": "${version}"`), file);
      assert.equal(now.split('\n').length, readText(file).split('\n').length, file);
    }
    const lock = JSON.parse(readFileSync(join(copy, 'package-lock.json'), 'utf8'));
    assert.deepEqual([lock.version, lock.packages[''].version], [version, version]);
    const task = JSON.parse(readFileSync(join(copy, taskFile), 'utf8'));
    assert.deepEqual(task.version, { Major: 1, Minor: 20, Patch: 3 });
    assert.match(readFileSync(join(copy, 'CHANGELOG.md'), 'utf8'), /^## 1\.20\.3 \(\d{4}-\d\d-\d\d\)$[\s\S]*^## /m);
    setVersion(before, copy);
    for (const file of [...files.slice(0, 3), taskFile]) {
      assert.equal(readFileSync(join(copy, file), 'utf8'), readText(file), `${file} did not come back`);
    }
  });

  for (const version of ['1.2', 'v1.2.3', '1.2.3-beta', '01.2.3', '', '2.0.0']) {
    it(`refuses '${version}'`, () => assert.throws(() => setVersion(version, copy)));
  }

  it('puts what was unreleased under the heading of the version', () => {
    assert.equal(
      withHeading('# C\n\n## Unreleased\n\n- a\n\n## 1.0.0 (2026-11-22)\n', '1.1.0', '2027-01-05'),
      '# C\n\n## 1.1.0 (2027-01-05)\n\n- a\n\n## 1.0.0 (2026-11-22)\n',
    );
    const released = '# C\n\n## 1.0.0 (2026-11-22)\n';
    assert.equal(withHeading(released, '1.0.0', '2027-01-05'), released);
  });
});

describe('publishing', () => {
  it('hands the token to the packager over a pipe, and never as an argument or in the environment', async () => {
    const seen: string[] = [];
    const marketplace = createServer((request, response) => {
      seen.push(Buffer.from(request.headers.authorization?.split(' ')[1] ?? '', 'base64').toString('utf8'));
      response.writeHead(404, { 'Content-Type': 'application/json' }).end('{}');
    });
    await new Promise<void>((resolve) => marketplace.listen(0, '127.0.0.1', resolve));
    const { port } = marketplace.address() as AddressInfo;
    const script = `
      const { publish } = await import(${JSON.stringify(pathToFileURL(join(root, 'scripts', 'publish.ts')).href)});
      process.exitCode = await publish({ vsix: process.argv[1], token: process.env.MARKETPLACE_TOKEN,
        serviceUrl: 'http://127.0.0.1:${port}/' });`;
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '--eval', script, packagedExtension()],
      {
        cwd: root,
        env: { ...process.env, MARKETPLACE_TOKEN: 'a-token-for-the-marketplace', HOME: scratch, USERPROFILE: scratch },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    let printed = '';
    child.stdout.on('data', (chunk) => {
      printed += chunk;
    });
    child.stderr.on('data', (chunk) => {
      printed += chunk;
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    await new Promise((resolve) => marketplace.close(resolve));
    assert.notEqual(code, 0, 'this marketplace takes nothing');
    assert.ok(seen.length > 0 && seen.every((credentials) => credentials === 'OAuth:a-token-for-the-marketplace'));
    assert.ok(!printed.includes('a-token-for-the-marketplace'));
    const source = readText('scripts', 'publish.ts');
    assert.doesNotMatch(source, /--token/);
  });
});

describe('continuous integration', () => {
  const pipeline = readText('azure-pipelines.yml');
  const workflow = readText('.github', 'workflows', 'ci.yml');

  it('pins every action by its commit', () => {
    const uses = [...workflow.matchAll(/uses: (\S+)(.*)/g)];
    assert.ok(uses.length > 0);
    for (const [, action = '', comment = ''] of uses) {
      assert.match(action, /^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
      assert.match(comment, /# v\d+\.\d+\.\d+/, 'a person wants to know which version that is');
    }
  });

  it('has no permissions beyond reading', () => {
    const { permissions, jobs } = parse(workflow);
    assert.deepEqual(permissions, { contents: 'read' });
    for (const job of Object.values<{ permissions?: unknown }>(jobs)) {
      assert.equal(job.permissions, undefined);
    }
    assert.match(workflow, /persist-credentials: false/);
    assert.doesNotMatch(workflow, /secrets\./);
  });

  it('tests on three systems with both Nodes of the agent', () => {
    const { matrix } = parse(workflow).jobs.test.strategy;
    assert.deepEqual(matrix.os, ['ubuntu-24.04', 'windows-2025', 'macos-15']);
    assert.deepEqual(matrix.node, ['20', '24']);
    for (const image of ['ubuntu-24.04', 'windows-2025', 'macos-15']) {
      assert.ok(pipeline.includes(image), image);
    }
  });

  it('publishes with the token of this task, which no variable stores', () => {
    const { stages } = parse(pipeline);
    const names = stages.map(({ stage }: { stage: string }) => stage);
    assert.deepEqual(names, ['Test', 'Package', 'Development', 'EndToEnd', 'Release', 'Tools']);
    assert.match(pipeline, /MARKETPLACE_TOKEN: \$\(marketplace\.accessToken\)/);
    assert.doesNotMatch(pipeline, /--token|\bPAT\b|variables:\s*\n\s*- group:/);
  });

  it('publishes the development extension from one run of a release, not from the push to the branch as well', () => {
    const { trigger, stages } = parse(pipeline);
    assert.deepEqual(trigger, { branches: { include: ['main'] }, tags: { include: ['v*'] } });
    for (const name of ['Development', 'EndToEnd']) {
      const { condition } = stages.find(({ stage }: { stage: string }) => stage === name);
      assert.equal(
        condition,
        "and(succeeded(), or(startsWith(variables['Build.SourceBranch'], 'refs/tags/v'), " +
          "in(variables['Build.Reason'], 'Schedule', 'Manual')))",
        name,
      );
    }
  });

  it('has an end-to-end stage of jobs that must succeed and jobs that must fail', () => {
    const { jobs } = parse(pipeline).stages.find(({ stage }: { stage: string }) => stage === 'EndToEnd');
    const [positive, negative] = ['Succeeds', 'Fails'].map((prefix) =>
      jobs.filter(({ job }: { job: string }) => job.startsWith(prefix)),
    );
    assert.ok(positive.length >= 2 && negative.length >= 2);
  });

  it('is one command for a person', () => {
    const listed = spawnSync(process.execPath, [join(root, 'scripts', 'run.mjs'), 'no-such-command'], {
      encoding: 'utf8',
    });
    assert.equal(listed.status, 2);
    assert.match(listed.stderr, /\bci\b/);
  });
});
