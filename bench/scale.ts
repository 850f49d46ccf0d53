/**
 * A thousand jobs that start together, against what the two services publish of their limits, in virtual time. The
 * times and the waits are the task's own (retry.ts), so that a change there shows here.
 */
import { ALL_TRIES_MS, TRY_MS, waitBeforeNext } from '../tasks/EntraTokenV1/network/retry.ts';
import { spread } from './measure.ts';
import { table } from './results.ts';

/** What is not published has to be assumed: see the two services below. */
export interface Circumstances {
  readonly jobs: number;
  readonly scopes: number;
  /** Agents pick up the jobs of one run within this time. Milliseconds. */
  readonly startMs: number;
  /** A request that is neither delayed nor refused. Milliseconds. */
  readonly answerMs: number;
  readonly devOps: {
    readonly windowMs: number;
    /** TSTUs in the window, of one identity or pipeline. */
    readonly limit: number;
    readonly longestDelayMs: number;
    /** TSTUs of one ID token. */
    readonly cost: number;
    /** TSTUs in the window from which on requests are refused rather than delayed. */
    readonly refusedFrom: number;
    readonly retryAfterMs: number;
  };
  readonly entra: {
    readonly windowMs: number;
    /** Requests in the window, of one client in one tenant. */
    readonly limit: number;
    readonly retryAfterMs: number;
  };
}

/**
 * Published for Azure DevOps: 200 TSTUs of one identity or pipeline in a sliding window of five minutes; beyond it,
 * requests are delayed, by 30 seconds at most, and refused with 429 where consumption stays high
 * (learn.microsoft.com/azure/devops/integrate/concepts/rate-limits). Not published: what a request costs, and where
 * delaying ends and refusing begins.
 *
 * Published for Entra: a client that asks too often is answered 429 with `Retry-After: 60`
 * (learn.microsoft.com/entra/msal/dotnet/advanced/client-and-server-throttling). Not published: how often that is.
 */
export const assumed: Circumstances = {
  jobs: 1000,
  scopes: 5,
  startMs: 2000,
  answerMs: 100,
  devOps: {
    windowMs: 300_000,
    limit: 200,
    longestDelayMs: 30_000,
    cost: 0.25,
    refusedFrom: 400,
    retryAfterMs: 30_000,
  },
  entra: { windowMs: 60_000, limit: 3000, retryAfterMs: 60_000 },
};

/** How a client waits, and how a job asks. */
export interface Behaviour {
  readonly title: string;
  readonly jitter: boolean;
  readonly heedsRetryAfter: boolean;
  /** One step for all scopes of the job, or one after the other for each. */
  readonly steps: 'one' | 'many';
}

const behaviours: readonly Behaviour[] = [
  { title: 'As the task does, one step for all scopes', jitter: true, heedsRetryAfter: true, steps: 'one' },
  { title: 'As the task does, a step for each scope', jitter: true, heedsRetryAfter: true, steps: 'many' },
  { title: 'Without jitter', jitter: false, heedsRetryAfter: true, steps: 'one' },
  { title: 'Without heeding Retry-After', jitter: true, heedsRetryAfter: false, steps: 'one' },
  { title: 'Without either', jitter: false, heedsRetryAfter: false, steps: 'one' },
];

/** What came of it. */
export interface Outcome {
  /** Jobs that got all of their tokens. */
  readonly succeeded: number;
  readonly requests: { readonly devOps: number; readonly entra: number };
  /** Answers 429. */
  readonly refused: number;
  /** Requests that the client stopped waiting for while the service was still delaying its answer. */
  readonly tooLate: number;
  /** The most requests in any one second after the first ten seconds: what comes back at once. */
  readonly herd: number;
  /** When jobs had all of their tokens: the middle one and the last one. Milliseconds. */
  readonly median: number;
  readonly last: number;
}

type Answer = { readonly ok: boolean; readonly afterMs: number; readonly retryAfterMs?: number };
type Service = (now: number) => Answer;

/** Delays beyond the limit in proportion to the excess, refuses beyond twice the limit. */
function azureDevOps({ devOps, answerMs }: Circumstances): Service {
  const used = slidingSum(devOps.windowMs);
  return (now) => {
    const usage = used.at(now);
    if (usage >= devOps.refusedFrom) {
      return { ok: false, afterMs: answerMs, retryAfterMs: devOps.retryAfterMs };
    }
    used.add(now, devOps.cost);
    const excess = Math.max(0, usage - devOps.limit) / (devOps.refusedFrom - devOps.limit);
    return { ok: true, afterMs: answerMs + devOps.longestDelayMs * excess };
  };
}

function microsoftEntra({ entra, answerMs }: Circumstances): Service {
  const used = slidingSum(entra.windowMs);
  return (now) => {
    if (used.at(now) >= entra.limit) {
      return { ok: false, afterMs: answerMs, retryAfterMs: entra.retryAfterMs };
    }
    used.add(now, 1);
    return { ok: true, afterMs: answerMs };
  };
}

function slidingSum(windowMs: number): { at: (now: number) => number; add: (now: number, amount: number) => void } {
  const entries: { time: number; amount: number }[] = [];
  let first = 0;
  let sum = 0;
  return {
    at: (now) => {
      for (let entry = entries[first]; entry !== undefined && entry.time <= now - windowMs; entry = entries[first]) {
        sum -= entry.amount;
        first++;
      }
      return sum;
    },
    add: (now, amount) => {
      entries.push({ time: now, amount });
      sum += amount;
    },
  };
}

/** Runs the jobs in virtual time; the same seed gives the same outcome. */
export function simulate(behaviour: Behaviour, circumstances: Circumstances = assumed, seed = 1): Outcome {
  const random = randomNumbers(seed);
  const clock = new Clock();
  const services = { devOps: azureDevOps(circumstances), entra: microsoftEntra(circumstances) };
  const sent = { devOps: 0, entra: 0 };
  const perSecond = new Map<number, number>();
  const done: number[] = [];
  let refused = 0;
  let tooLate = 0;

  /** One request with its retries, as wire.ts sends it. */
  const send = (service: keyof typeof services, then: (ok: boolean) => void): void => {
    const start = clock.now;
    const attempt = (tries: number): void => {
      sent[service]++;
      const second = Math.floor(clock.now / 1000);
      perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
      const answer = services[service](clock.now);
      const tookMs = Math.min(answer.afterMs, TRY_MS);
      const inTime = answer.afterMs <= TRY_MS;
      clock.at(clock.now + tookMs, () => {
        if (answer.ok && inTime) {
          then(true);
          return;
        }
        refused += answer.ok ? 0 : 1;
        tooLate += inTime ? 0 : 1;
        const wait = waitBeforeNext({
          tries,
          askedMs: behaviour.heedsRetryAfter && inTime ? answer.retryAfterMs : undefined,
          tookMs: clock.now - start,
          allTriesMs: ALL_TRIES_MS,
          random: behaviour.jitter ? random() : 1,
        });
        if (wait === undefined) {
          then(false);
        } else {
          clock.at(clock.now + wait, () => attempt(tries + 1));
        }
      });
    };
    attempt(1);
  };

  /** One step: an ID token, then all of its access tokens side by side. */
  const step = (scopes: number, then: (ok: boolean) => void): void => {
    send('devOps', (ok) => {
      if (!ok) {
        then(false);
        return;
      }
      let open = scopes;
      let all = true;
      for (let scope = 0; scope < scopes; scope++) {
        send('entra', (gotToken) => {
          all &&= gotToken;
          open--;
          if (open === 0) {
            then(all);
          }
        });
      }
    });
  };

  for (let job = 0; job < circumstances.jobs; job++) {
    const steps = behaviour.steps === 'one' ? 1 : circumstances.scopes;
    const next = (left: number): void => {
      if (left === 0) {
        done.push(clock.now);
        return;
      }
      step(circumstances.scopes / steps, (ok) => ok && next(left - 1));
    };
    clock.at(random() * circumstances.startMs, () => next(steps));
  }
  clock.run();

  const later = [...perSecond].filter(([second]) => second >= 10).map(([, count]) => count);
  return {
    succeeded: done.length,
    requests: sent,
    refused,
    tooLate,
    herd: Math.max(0, ...later),
    median: done.length === 0 ? Number.NaN : spread(done).median,
    last: done.length === 0 ? Number.NaN : Math.max(...done),
  };
}

/** Runs what is due in the order of its time; a binary heap, because a thousand jobs wait at once. */
class Clock {
  now = 0;
  readonly #heap: { time: number; act: () => void }[] = [];

  at(time: number, act: () => void): void {
    const heap = this.#heap;
    let place = heap.push({ time, act }) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if ((heap[parent]?.time ?? 0) <= time) {
        break;
      }
      this.#swap(place, parent);
      place = parent;
    }
  }

  run(): void {
    for (let next = this.#take(); next !== undefined; next = this.#take()) {
      this.now = next.time;
      next.act();
    }
  }

  #take(): { time: number; act: () => void } | undefined {
    const heap = this.#heap;
    this.#swap(0, heap.length - 1);
    const first = heap.pop();
    for (let place = 0; ; ) {
      const [left, right] = [2 * place + 1, 2 * place + 2];
      const least = this.#time(right) < this.#time(left) ? right : left;
      if (this.#time(least) >= this.#time(place)) {
        return first;
      }
      this.#swap(place, least);
      place = least;
    }
  }

  #time(place: number): number {
    return this.#heap[place]?.time ?? Number.POSITIVE_INFINITY;
  }

  #swap(a: number, b: number): void {
    const [first, second] = [this.#heap[a], this.#heap[b]];
    if (first !== undefined && second !== undefined) {
      this.#heap[a] = second;
      this.#heap[b] = first;
    }
  }
}

/** Numbers from 0 up to 1 that the seed decides (mulberry32, public domain). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Variations of what is not published: whether the conclusions hang on it. */
const variations: readonly { readonly title: string; readonly circumstances: Circumstances }[] = [
  {
    title: 'An ID token costs 0.1 TSTU: with one step each, Azure DevOps has room for all',
    circumstances: withCost(0.1),
  },
  {
    title: 'An ID token costs 0.25 TSTU: with one step each, Azure DevOps answers late',
    circumstances: withCost(0.25),
  },
  { title: 'An ID token costs 0.5 TSTU: with one step each, Azure DevOps refuses some', circumstances: withCost(0.5) },
  {
    title: 'As the first, but Entra refuses more than 100 requests a second, with `Retry-After: 1`',
    circumstances: { ...withCost(0.1), entra: { windowMs: 1000, limit: 100, retryAfterMs: 1000 } },
  },
];

function withCost(cost: number): Circumstances {
  return { ...assumed, devOps: { ...assumed.devOps, cost } };
}

/** The outcomes as tables of Markdown. */
export function scaleTables(): string {
  const { jobs, scopes, startMs, entra } = assumed;
  const head = ['', 'Got all tokens', 'To Azure DevOps', 'To Entra', '429', 'Too late', 'Herd', 'Median', 'Last'];
  const sections = variations.map(({ title, circumstances }) => {
    const rows = behaviours.map((behaviour) => {
      const { succeeded, requests, refused, tooLate, herd, median, last } = simulate(behaviour, circumstances);
      return [
        behaviour.title,
        `${succeeded} of ${jobs}`,
        String(requests.devOps),
        String(requests.entra),
        String(refused),
        String(tooLate),
        `${herd}/s`,
        seconds(median),
        seconds(last),
      ];
    });
    return `${title}\n\n${table(head, rows)}`;
  });
  const intro =
    `${jobs} jobs with ${scopes} scopes each begin within ${startMs / 1000} s; ` +
    `Entra is assumed to refuse more than ${entra.limit} requests a minute, with \`Retry-After: ${entra.retryAfterMs / 1000}\`.\n`;
  return [intro, ...sections].join('\n');
}

function seconds(milliseconds: number): string {
  return Number.isFinite(milliseconds) ? `${(milliseconds / 1000).toFixed(1)} s` : '–';
}
