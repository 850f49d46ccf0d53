import type { Cloud, Fault } from '../cloud/cloud.ts';
import { answers, hostileText } from '../cloud/faults.ts';
import { type Ended, faultsOf, runStep } from './run-step.ts';

/** Numbers from 0 up to 1 that one seed always gives in the same order (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Chances of one case, and the secrets that its answers may throw back. */
class Dice {
  readonly #random: () => number;
  readonly #secrets: readonly string[];

  constructor(random: () => number, secrets: readonly string[]) {
    this.#random = random;
    this.#secrets = secrets;
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  pick<T>(list: readonly T[]): T {
    const found = list[this.below(list.length)];
    if (found === undefined) throw new Error('there is nothing to pick');
    return found;
  }

  /** A secret, whole, cut, or in another form. */
  secret(): string {
    const secret = this.pick(this.#secrets);
    const from = this.below(secret.length - 40);
    const piece = secret.slice(from, from + 24 + this.below(200));
    return this.pick([
      secret,
      piece,
      piece.slice(0, 36),
      Buffer.from(secret).toString('base64'),
      Buffer.from(`:${piece}`).toString('base64'),
      encodeURIComponent(secret),
    ]);
  }

  text(): string {
    return this.pick([
      '',
      ' ',
      'null',
      'eyJ',
      'a.b.c',
      'Ünïcödé ✓ 漢字',
      '\u0000\u0007\u001b[31m\u2028\ufeff',
      '__proto__',
      '%0A##vso[task.complete result=Succeeded]',
      '$(System.AccessToken)',
      hostileText,
      '{"nested":"json"}',
      '<html><body>hostile</body></html>',
      'x'.repeat(this.below(5000)),
      this.secret(),
      `Bearer ${this.secret()}`,
      `AADSTS${this.below(10_000_000)}: ${this.secret()}`,
    ]);
  }

  number(): number {
    return this.pick([0, -1, 1, 0.5, 3600, 1e9, 2 ** 31, 2 ** 53, 1e15, 1e300, -1e300, this.below(1e6)]);
  }

  /** Any JSON value. */
  value(depth = 0): unknown {
    const simple = [null, true, false, this.number(), this.text(), this.text()];
    if (depth > 3 || this.chance(0.7)) return this.pick(simple.map((value) => ({ value }))).value;
    const items = Array.from({ length: this.below(4) }, () => this.value(depth + 1));
    return this.chance(0.5) ? items : Object.fromEntries(items.map((item) => [this.text().slice(0, 50), item]));
  }
}

/** What HTTP allows in a header's value. */
const headerText = (text: string): string => text.replaceAll(/[^\t\x20-\x7e\xa0-\xff]/g, '').slice(0, 4000);

const HEADERS = [
  'content-type',
  'retry-after',
  'date',
  'location',
  'set-cookie',
  'www-authenticate',
  'x-vss-e2eid',
  'activityid',
  'x-msedge-ref',
  'x-ms-request-id',
  'content-encoding',
  'connection',
];

const FIELDS = {
  devops: ['oidcToken', 'typeKey', 'typeName', 'message', 'value', 'errorCode'],
  entra: [
    'token_type',
    'expires_in',
    'refresh_in',
    'ext_expires_in',
    'access_token',
    'error',
    'error_description',
    'error_codes',
    'timestamp',
    'trace_id',
    'correlation_id',
    'claims',
    'suberror',
  ],
};

const STATUSES = [
  200, 200, 200, 201, 202, 203, 204, 206, 300, 302, 304, 307, 400, 400, 401, 403, 404, 405, 409, 418, 422,
];
const TRANSIENT = [408, 429, 500, 502, 503, 504, 599];

function headersOf(dice: Dice): Record<string, string> {
  const count = dice.below(4);
  const pairs = Array.from({ length: count }, () => [dice.pick(HEADERS), headerText(dice.text())]);
  // A wait of seconds would make a case of nothing but waiting.
  return Object.fromEntries(pairs.filter(([name, value]) => name !== 'retry-after' || Number.isNaN(Number(value))));
}

function rawAnswer(dice: Dice): string {
  const status = dice.pick([
    'HTTP/1.1 200 OK',
    'HTTP/1.0 200',
    'HTTP/1.1 999 ?',
    'HTTP/1.1 101 Switching Protocols',
    'HTTP/1.1 100 Continue',
    'HTTP/9.9 200 OK',
    'ICY 200 OK',
    '',
    `HTTP/1.1 400 ${headerText(dice.text())}`,
  ]);
  const headers = dice.pick([
    'content-length: 5',
    'content-length: -1',
    'content-length: 5\r\ncontent-length: 6',
    'transfer-encoding: chunked',
    'transfer-encoding: chunked\r\ncontent-length: 5',
    'upgrade: h2c\r\nconnection: upgrade',
    `x: ${headerText(dice.text())}`,
    `x ${headerText(dice.text())}`,
    'connection: keep-alive',
  ]);
  const body = dice.pick(['', '{"a":', '5\r\nhello\r\n0\r\n\r\n', 'zz\r\nhostile', headerText(dice.text())]);
  return `${status}\r\n${headers}\r\n\r\n${body}`;
}

async function answerOf(
  dice: Dice,
  service: 'devops' | 'entra',
  cloud: Cloud,
): Promise<{ do: Fault['do']; slow: boolean; transient: boolean }> {
  const alterations = (): Record<string, unknown> =>
    Object.fromEntries(Array.from({ length: 1 + dice.below(3) }, () => [dice.pick(FIELDS[service]), dice.value()]));
  const status = dice.chance(0.15) ? dice.pick(TRANSIENT) : dice.pick(STATUSES);
  const hasBody = status !== 204 && status !== 304;
  const body =
    hasBody && dice.chance(0.15)
      ? dice.pick(['truncated', 'reset', 'endless', 'silentBefore', 'silentWithin', 'drip'] as const)
      : undefined;
  const slow = body !== undefined && ['silentBefore', 'silentWithin', 'drip'].includes(body);
  const broken = body === undefined ? {} : { body };
  const transient = body !== undefined && body !== 'endless';
  const repeats = transient || TRANSIENT.includes(status);
  switch (dice.below(7)) {
    case 0:
      return { do: { kind: 'alter', set: alterations(), headers: headersOf(dice), ...broken }, slow, transient };
    case 1:
      return {
        do: { kind: 'alter', status, set: alterations(), headers: headersOf(dice), ...broken },
        slow,
        transient: repeats,
      };
    case 2:
      return {
        do: { kind: 'answer', status, json: dice.value(), headers: headersOf(dice), ...broken },
        slow,
        transient: repeats,
      };
    case 3:
      return {
        do: { kind: 'answer', status, json: alterations(), headers: headersOf(dice), ...broken },
        slow,
        transient: repeats,
      };
    case 4:
      return {
        do: { kind: 'answer', status, text: dice.text(), echo: dice.chance(0.5), headers: headersOf(dice), ...broken },
        slow,
        transient: repeats,
      };
    case 5: {
      if (service === 'entra')
        return {
          do: dice.pick([answers.echo, answers.echoInSuccess, answers.notHttp, answers.hugeHeaders]),
          slow: false,
          transient: false,
        };
      const names = ['iss', 'sub', 'aud', 'exp', 'iat', 'nbf', 'jti'];
      const claims = Object.fromEntries(
        Array.from({ length: 1 + dice.below(3) }, () => [dice.pick(names), dice.value()]),
      );
      return {
        do: { kind: 'answer', json: { oidcToken: await cloud.issueIdToken({ connection: 'prod', claims }) } },
        slow: false,
        transient: false,
      };
    }
    default: {
      const text = rawAnswer(dice);
      // What never ends takes all the time that there is; what ends too early is tried again.
      return { do: { kind: 'raw', text }, slow: false, transient: true };
    }
  }
}

export interface FuzzResult {
  /** What to say of the case where it went wrong. */
  about: string;
  wrong: string[];
  ended: Ended;
}

/** One case: a seeded answer of one of the services; everything else as it should be. */
export async function fuzzOnce(cloud: Cloud, seed: number): Promise<FuzzResult> {
  const idToken = await cloud.issueIdToken({ connection: 'prod' });
  const dice = new Dice(seeded(seed), [cloud.job.jobToken, idToken]);
  const service = dice.pick(['devops', 'entra'] as const);
  const answer = await answerOf(dice, service, cloud);
  const when: Pick<Fault, 'when'> = answer.transient ? { when: { first: 1 } } : {};
  const faults: Fault[] = [{ service, do: answer.do, ...when }];
  if (service === 'entra') faults.push({ service: 'devops', do: { kind: 'answer', json: { oidcToken: idToken } } });
  const ended = await runStep(cloud, {
    faults,
    fastClock: answer.slow,
    // Where Azure DevOps is the one that misbehaves, the step never got this token: a piece of it is any text.
    secrets: service === 'entra' ? [{ name: 'ID token', value: idToken }] : [],
  });
  const wrong = faultsOf(ended);
  const { result, job, requests } = ended;
  const token = job.outputs['entra.accessToken'];
  if (result !== 'Succeeded' && result !== 'Failed') wrong.push(`the result is ${result}`);
  if ((result === 'Succeeded') !== (token !== undefined))
    wrong.push(`it ${result}, and the output is ${token === undefined ? 'not ' : ''}there`);
  if (token !== undefined && !token.secret) wrong.push('the access token is no secret');
  if (!answer.transient && requests[service] !== 1) wrong.push(`${service} was asked ${requests[service]} times`);
  const set = Object.entries({ ...job.variables, ...job.outputs }).filter(([, { value }]) => /hostile/i.test(value));
  wrong.push(...set.map(([name]) => `the variable ${name} was set from outside`));
  return { about: `seed ${seed}: ${JSON.stringify(faults[0]).slice(0, 600)}`, wrong, ended };
}
