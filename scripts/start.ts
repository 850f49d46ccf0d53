import { existsSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { renderer, summary, takesColours } from '../test/agent/render.ts';
import { startCloud } from '../test/cloud/cloud.ts';
import { runPipelineFile } from '../test/rehearsal.ts';
import { root } from './layout.ts';

const HELP = `Runs a pipeline with the packaged extension on this machine: no organization, no subscription, no network.

  npm start                     runs examples/quickstart.yml
  npm start -- FILE             runs another pipeline; examples/ has one for each source and tool
  npm start -- --debug FILE     the same with System.Debug
  npm start -- --help           this text

A local agent does what the Azure Pipelines agent does with the steps; a local cloud answers for Azure DevOps, Microsoft
Entra, AKS and a protected API, over TLS. The exit code is the job's: 0 where it succeeded.
`;

const { values, positionals } = parseArgs({
  options: { help: { type: 'boolean', short: 'h' }, debug: { type: 'boolean' } },
  allowPositionals: true,
});
if (values.help) {
  process.stdout.write(HELP);
  process.exit(0);
}
const [given] = positionals;
const file = given === undefined ? join(root, 'examples', 'quickstart.yml') : resolve(given);
if (!existsSync(file)) {
  process.stderr.write(`There is no pipeline ${file}.\n`);
  process.exit(2);
}

const colours = takesColours(process.stdout);
const show = renderer({ write: (text) => process.stdout.write(text), colours });
process.stdout.write(`Pipeline ${relative(root, file)} on the local agent, against the local cloud\n\n`);
const cloud = await startCloud();
try {
  const result = await runPipelineFile(cloud, file, {
    onLine: show,
    ...(values.debug ? { systemDebug: true } : {}),
  });
  process.stdout.write(`\n${summary(result, colours).join('\n')}\n`);
  process.exitCode = result.result === 'Succeeded' || result.result === 'SucceededWithIssues' ? 0 : 1;
} finally {
  await cloud.close();
}
