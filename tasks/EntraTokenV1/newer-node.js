// For a Node that is too old: runs the program with a newer one that the agent brings beside it. An Alpine agent starts
// Node 10 unless it is told otherwise, and the image of a container job may bring any. JavaScript that Node 6 can parse.

const childProcess = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');

const LEAST = 20;
const PROBE_MS = 20000;
const PARENT_LOOK_MS = 500;
const DOCUMENTED = 'https://github.com/entra-token/entra-token/blob/main/docs/errors.md#et_node_version';

const needed = `Node ${process.versions.node}, and this task needs Node ${LEAST} or later`;

/** Runs the step; where no newer Node is there, it fails with ET_NODE_VERSION (failure/catalogue.ts has the same text). */
exports.runStep = () => {
  run('step.js', process.exit, (broken) => {
    const found = broken.length === 0 ? '' : ` The agent also has ${broken.join(' and ')}, which cannot run here.`;
    const line =
      `ET_NODE_VERSION: The step was started with ${needed}.${found} ` +
      'An agent on Alpine starts Node 10 unless it is configured otherwise, and the image of a container job can contain ' +
      'any version. Set the variable AGENT_USE_NODE24_WITH_HANDLER_DATA or AGENT_USE_NODE20_1 to true, in the pipeline or ' +
      'in the environment of the agent, or use an image with Node 20 or later. ' +
      `See ${DOCUMENTED}`;
    process.stdout.write(`##vso[task.logissue type=error;code=ET_NODE_VERSION]${line}\n`);
    process.stdout.write(`##vso[task.complete result=Failed]${line}\n`);
  });
};

/** Runs the clean-up. It never fails the job: what is left over ends and is removed with the job. */
exports.cleanUp = () => {
  const giveUp = () => {
    process.stdout.write(`Nothing was cleaned up: post-job was started with ${needed}.\n`);
  };
  run('clean-up.js', (code) => process.exit(code === 0 ? 0 : giveUp()), giveUp);
};

/** Runs a program of the task with the first newer Node that works, or hands the names of those that do not. */
function run(program, whenEnded, whenNone) {
  // Before there is a child: a signal that ended this process first would leave the child running.
  let child;
  ['SIGINT', 'SIGTERM', 'SIGBREAK'].forEach((signal) => {
    process.on(signal, () => {
      // The console of Windows tells the child itself; sent from here, a signal would end it at once.
      if (child && process.platform !== 'win32') {
        child.kill(signal);
      }
    });
  });
  const broken = [];
  for (const candidate of candidates()) {
    if (works(candidate.file)) {
      child = start(candidate.file, program, whenEnded);
      return;
    }
    broken.push(candidate.name);
  }
  whenNone(broken);
}

/** The agent's newer Nodes: each is externals/NAME/bin/node, as the running one is where the agent brought it. */
function candidates() {
  const binary = process.platform === 'win32' ? 'node.exe' : 'node';
  // Where the agent's folder holds links, execPath is what they lead to, and argv0 is as the agent wrote it.
  const externals = [process.argv0, process.execPath]
    .filter((file) => typeof file === 'string' && path.basename(file) !== file)
    .map((file) => path.resolve(file, '..', '..', '..'))
    .filter((folder) => path.basename(folder) === 'externals');
  const found = [];
  for (const folder of externals) {
    for (const family of [/^node24[\w.-]*$/, /^node20_1[\w.-]*$/]) {
      for (const name of namesIn(folder).filter((one) => family.test(one))) {
        const file = path.join(folder, name, 'bin', binary);
        if (fs.existsSync(file) && !found.some((one) => one.file === file)) {
          found.push({ name, file });
        }
      }
    }
  }
  return found;
}

function namesIn(folder) {
  try {
    return fs.readdirSync(folder).sort();
  } catch (_) {
    return [];
  }
}

/** Asks it for its version: it may be for another C library or processor, or not be what its folder says. */
function works(file) {
  const answer = childProcess.spawnSync(file, ['-p', 'process.versions.node'], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: PROBE_MS,
    killSignal: 'SIGKILL'
  });
  return answer.status === 0 && parseInt(String(answer.stdout), 10) >= LEAST;
}

function start(file, program, whenEnded) {
  // The program sees this process above it; so it is told which one started the step.
  const parent = process.ppid;
  const args = [path.join(__dirname, program)].concat(parent === undefined ? [] : String(parent));
  const child = childProcess.spawn(file, args, { stdio: 'inherit' });
  child.on('exit', (code, signal) => whenEnded(signal ? 128 + os.constants.signals[signal] : code));
  child.on('error', () => whenEnded(1));
  // An agent that is killed sends no signal.
  setInterval(() => {
    if (process.ppid !== parent) {
      child.kill('SIGTERM');
    }
  }, PARENT_LOOK_MS);
  return child;
}
