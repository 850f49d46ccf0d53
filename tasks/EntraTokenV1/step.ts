import { writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Agent, pipelineAgent } from './agent/agent.ts';
import { removeKeptCode } from './agent/earlier-versions.ts';
import { markProcess } from './background/processes.ts';
import { unforeseen } from './failure/failure.ts';
import { prepareEnvironment, processOrigins } from './origins/process.ts';
import { run } from './run.ts';

const above = process.ppid;
/** Which process started the step: the one above, unless newer-node.js stands between and tells its own. */
const parent = process.argv[2] === undefined ? above : Number(process.argv[2]);
const undoOnEnd: (() => void)[] = [];
let isEnding = false;

/** How often it is looked whether the process that started the step is still there. */
const PARENT_LOOK_MS = 500;

/** How long a step that ends waits for the names that are being resolved. */
const RESOLVING_MS = 300;

/** Ends and removes what must not outlive a step that did not succeed. */
function undoAll(): void {
  for (const undo of undoOnEnd.splice(0).reverse()) {
    undo();
  }
}

/**
 * From here on a cancelled step ends at once and leaves nothing behind. The agent decides the result of a step that it
 * cancels itself; a step that somebody else ends must not count as succeeded.
 */
function endOnSignals(): void {
  // The agent for Windows presses CTRL+C, and then CTRL+BREAK.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGBREAK'] as const) {
    process.on(signal, () => endNow(`The step was ended by ${signal}.`));
  }
  // An agent that is killed sends no signal.
  setInterval(() => {
    if (isAbandoned()) {
      endNow('The agent that started the step has ended.');
    }
  }, PARENT_LOOK_MS).unref();
}

/** Windows goes on naming a parent that has ended; so it is looked for. */
function isAbandoned(): boolean {
  return process.ppid !== above || (process.platform === 'win32' && markProcess(parent) === undefined);
}

function endNow(why: string): void {
  undoAll();
  if (isEnding) {
    return;
  }
  isEnding = true;
  try {
    writeSync(1, `##vso[task.complete result=Failed]${why}\n`);
  } catch {
    // Nobody is left to read it.
  }
  // From here on the step does nothing that lasts, and says nothing.
  process.once('exit', undoAll);
  process.stdout.write = () => true;
  // `process.exit` waits for the names that are being resolved, for as long as a silent name server lets it.
  const isResolving = (): boolean => process.getActiveResourcesInfo().includes('GetAddrInfoReqWrap');
  if (!isResolving()) {
    process.exit(0);
  }
  setInterval(() => isResolving() || process.exit(0), 10);
  setTimeout(() => {
    undoAll();
    process.kill(process.pid, 'SIGKILL');
  }, RESOLVING_MS);
}

async function main(): Promise<void> {
  // A hundred debug lines come before the first request: they go out as one write, and not one by one.
  process.stdout.cork();
  const origins = processOrigins(__dirname);
  const withheld = prepareEnvironment(origins);
  const agent = await pipelineAgent(origins, withheld);
  process.on('uncaughtException', (error) => void fail(agent, error));
  // A step that ends without a word has succeeded in the agent's eyes; one that never came to its end must not.
  process.once('beforeExit', () => void fail(agent, new Error('the step came to no end')));
  process.nextTick(() => process.stdout.uncork());
  try {
    const running = run(agent, {
      now: Date.now,
      // Node loads `performance` when it is first touched, which takes most of a millisecond.
      elapsed: () => Number(process.hrtime.bigint()) / 1e6,
      sleep: (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds)),
      random: Math.random,
      parent,
      backgroundScript: join(__dirname, 'background.js'),
      onFailure: (undo) => undoOnEnd.push(undo),
    });
    // Not before the first request is under way.
    setImmediate(removeKeptCode);
    await running;
    agent.succeed();
    exitWhenFlushed();
  } catch (error) {
    await fail(agent, error);
  }
}

async function fail(agent: Agent, error: unknown): Promise<void> {
  undoAll();
  agent.fail(unforeseen(error));
  exitWhenFlushed();
}

/** Connections that are kept alive would hold the process for seconds. Standard output is a pipe, which Windows fills asynchronously. */
function exitWhenFlushed(): void {
  process.stdout.uncork();
  process.stdout.write('', () => process.exit(0));
}

/** Only what happens before there is an agent to tell comes here: its library cannot be read, for example. */
function failWithoutAgent(): void {
  undoAll();
  process.stdout.write(
    '##vso[task.logissue type=error;code=ET_UNEXPECTED]ET_UNEXPECTED: The task could not be started. ' +
      'A file of the task may be missing or damaged on this agent. Delete the folder of the task (EntraToken_…) below ' +
      '_tasks in the work folder of the agent, and run the job again; the agent then downloads the task again.\n' +
      '##vso[task.complete result=Failed]\n',
  );
  exitWhenFlushed();
}

endOnSignals();
main().catch(failWithoutAgent);
