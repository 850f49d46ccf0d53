import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from './layout.ts';

/** How the Marketplace's packager is started; the token is not among it. */
export interface Publication {
  readonly vsix: string;
  readonly token: string;
  /** Organizations that a private extension is shared with. */
  readonly shareWith?: readonly string[];
  /** Another address than the Marketplace's, for tests. */
  readonly serviceUrl?: string;
}

/**
 * Publishes a package with tfx-cli. The token goes to the prompt of tfx over a pipe: arguments and environments of a
 * process can be read by others. Gives the exit code of tfx.
 */
export function publish({ vsix, token, shareWith = [], serviceUrl }: Publication): Promise<number> {
  const tfx = join(root, 'node_modules', 'tfx-cli', '_build', 'tfx-cli.js');
  const options = ['extension', 'publish', '--no-color', '--auth-type', 'pat', '--vsix', vsix];
  if (shareWith.length > 0) {
    options.push('--share-with', ...shareWith);
  }
  if (serviceUrl !== undefined) {
    options.push('--service-url', serviceUrl);
  }
  const environment = { ...process.env };
  delete environment['MARKETPLACE_TOKEN'];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [tfx, ...options], {
      stdio: ['pipe', 'inherit', 'inherit'],
      // A token that somebody saved on this machine with tfx login is not used instead.
      env: { ...environment, TFX_BYPASS_CACHE: '1' },
    });
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 1));
    child.stdin.once('error', () => undefined);
    child.stdin.end(`${token}\n`);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [vsix, ...shareWith] = process.argv.slice(2);
  const token = process.env['MARKETPLACE_TOKEN'];
  if (vsix === undefined || !existsSync(vsix) || !token) {
    process.stderr.write(
      'Usage: MARKETPLACE_TOKEN=… npm run publish-extension -- PACKAGE.vsix [ORGANIZATION …]\n' +
        'The token is one for Azure DevOps, such as EntraToken@1 gives for the scope azureDevOps.\n',
    );
    process.exit(2);
  }
  process.exitCode = await publish({ vsix, token, shareWith });
}
