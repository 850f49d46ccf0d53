import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { root } from '../scripts/layout.ts';
import type { Order, Ready, Traffic } from './situation.ts';

/** The process of the local cloud, from outside. */
export class LocalCloud {
  readonly ready: Ready;
  readonly #process: ChildProcess;

  private constructor(process: ChildProcess, ready: Ready) {
    this.#process = process;
    this.ready = ready;
  }

  /** Starts it, and waits until it knows how the agent starts each program. Throws where it ends instead. */
  static async start(): Promise<LocalCloud> {
    const child = fork(join(root, 'bench', 'cloud-process.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    return new LocalCloud(child, await answerOf<Ready>(child));
  }

  /** Adds so many milliseconds to each request from now on, and forgets the traffic so far. */
  setLatency(latencyMs: number): Promise<Traffic> {
    return this.#ask({ latencyMs });
  }

  /** What came since this was asked last. */
  traffic(): Promise<Traffic> {
    return this.#ask('traffic');
  }

  async end(): Promise<void> {
    this.#process.send('end' satisfies Order);
    await once(this.#process, 'exit');
  }

  #ask(order: Order): Promise<Traffic> {
    this.#process.send(order);
    return answerOf<Traffic>(this.#process);
  }
}

/** The next message of the process, which is of this very version. */
async function answerOf<T>(child: ChildProcess): Promise<T> {
  const ended = new AbortController();
  const onExit = (): void => ended.abort(new Error('the local cloud ended'));
  child.once('exit', onExit);
  try {
    const [message] = await once(child, 'message', { signal: ended.signal });
    return message as T;
  } finally {
    child.off('exit', onExit);
  }
}
