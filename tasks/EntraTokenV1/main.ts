import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const parent = process.ppid;
const undoOnCancel: (() => void)[] = [];

// Before anything else is loaded: from here on a cancelled step ends at once and leaves nothing behind. The agent
// decides the result of a cancelled step itself; the exit code stays 0.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const undo of undoOnCancel.reverse()) {
      undo();
    }
    process.exit(0);
  });
}

async function main(): Promise<void> {
  const [{ pipelineAgent }, { run }, { unforeseen }] = await Promise.all([
    import('./agent.ts'),
    import('./run.ts'),
    import('./failure.ts'),
  ]);
  const agent = pipelineAgent();
  const failed = (error: unknown): void => agent.fail(unforeseen(error));
  process.on('uncaughtException', (error) => {
    failed(error);
    exitWhenFlushed();
  });
  try {
    await run(agent, {
      now: Date.now,
      sleep: (milliseconds) => sleep(milliseconds),
      random: Math.random,
      parent,
      refresherScript: join(__dirname, 'keep-fresh.js'),
      onCancel: (undo) => undoOnCancel.push(undo),
    });
    agent.succeed();
  } catch (error) {
    for (const undo of undoOnCancel.reverse()) {
      undo();
    }
    failed(error);
  }
  exitWhenFlushed();
}

/** Connections that are kept alive would hold the process for seconds. Standard output is a pipe, which Windows fills asynchronously. */
function exitWhenFlushed(): void {
  process.stdout.write('', () => process.exit(0));
}

void main();
