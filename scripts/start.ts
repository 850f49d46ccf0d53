import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { renderer, summary, takesColours } from '../test/agent/render.ts';
import { startCloud } from '../test/cloud/cloud.ts';
import { type Rehearsal, runPipelineFile } from '../test/rehearsal.ts';
import { root } from './layout.ts';

const HELP = `Runs a pipeline with the packaged extension on this machine: no organization, no subscription, no network.

  npm start                     runs examples/quickstart.yml
  npm start -- FILE             runs another pipeline; see below
  npm start -- --debug FILE     the same with System.Debug
  npm start -- --help           this text

A local agent does what the Azure Pipelines agent does with the steps. A local cloud answers over TLS, under the real
names too: Azure DevOps with a repository, Microsoft Entra, AKS, Azure Resource Manager and a key vault. The proxy of the
scripts knows nothing else. The exit code is the job's: 0 where it succeeded.

Pipelines to try:
`;

/** Each example with what its first comment says of it. */
function examples(): string {
  const names = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yml'));
  const width = Math.max(...names.map((name) => name.length));
  const lines = names.map((name) => {
    const says = /^#\s*(.*)/.exec(readFileSync(join(root, 'examples', name), 'utf8'))?.[1] ?? '';
    return `  ${join('examples', name.padEnd(width))}  ${says}`;
  });
  return `${lines.join('\n')}\n`;
}

/** What a pipeline missed that the rehearsal, or this machine, does not have. */
function hints({ log, unknownHosts }: Rehearsal): string[] {
  const missing = log.flatMap((line) => /: (?:line \d+: )?([\w.-]+): command not found$/.exec(line)?.[1] ?? []);
  return [
    ...[...new Set(missing)].map((tool) => `This machine has no ${tool}, which a step calls.`),
    ...unknownHosts.map((host) => `The rehearsal has no ${host}: a step asked for it, and nothing left this machine.`),
  ];
}

const { values, positionals } = parseArgs({
  options: { help: { type: 'boolean', short: 'h' }, debug: { type: 'boolean' } },
  allowPositionals: true,
});
if (values.help) {
  process.stdout.write(HELP + examples());
  process.exit(0);
}
const [given] = positionals;
const file = given === undefined ? join(root, 'examples', 'quickstart.yml') : resolve(given);
if (!existsSync(file)) {
  process.stderr.write(`There is no pipeline ${file}.\n`);
  process.exit(2);
}

const colours = takesColours(process.stdout);
const bold = (text: string): string => (colours ? `\x1b[1m${text}\x1b[0m` : text);
const show = renderer({ write: (text) => process.stdout.write(text), colours });
process.stdout.write(`${bold(`Entra token: a rehearsal of ${relative(process.cwd(), file) || file}`)}

The extension, packaged as users install it, runs on a local agent. A local cloud stands in for Azure DevOps, Microsoft
Entra and the API that is called; nothing leaves this machine. The step asks Azure DevOps who the job is (an ID token),
has Entra exchange that for access tokens, and hands them to the later steps. Here is the log as a pipeline shows it.
`);
const cloud = await startCloud();
try {
  const result = await runPipelineFile(cloud, file, {
    onLine: show,
    ...(values.debug ? { systemDebug: true } : {}),
  });
  process.stdout.write(`\n${bold('Summary')}\n${summary(result, colours).join('\n')}\n`);
  for (const hint of hints(result)) {
    process.stdout.write(`\n${hint}\n`);
  }
  if (given === undefined) {
    process.stdout.write('\nnpm start -- --help lists the other pipelines; the docs begin in README.md.\n');
  }
  process.exitCode = result.result === 'Succeeded' || result.result === 'SucceededWithIssues' ? 0 : 1;
} finally {
  await cloud.close();
}
