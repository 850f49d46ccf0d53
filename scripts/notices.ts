import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';
import { readJson, root } from './layout.ts';

/** A package of which at least one byte is in a bundle. */
export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly text: string;
  /** What the package brings in of others' (a ThirdPartyNotice file), where it has that. */
  readonly further: string;
}

/** The packages that are really in the bundles, by name; from esbuild's account of each output. Throws where a licence is missing. */
export function bundledPackages(metafile: Metafile): BundledPackage[] {
  const folders = new Set<string>();
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
      if (folder !== undefined && bytesInOutput > 0 && !input.startsWith('left-out:')) {
        folders.add(folder);
      }
    }
  }
  return [...folders].sort().map(describe);
}

function describe(folder: string): BundledPackage {
  const manifest = readJson(join(folder, 'package.json'));
  const files = readdirSync(join(root, folder));
  const find = (pattern: RegExp): string => {
    const file = files.find((name) => pattern.test(name));
    return file === undefined ? '' : readFileSync(join(root, folder, file), 'utf8').trim();
  };
  const text = find(/^licen[cs]e/i);
  const licence = manifest['license'];
  if (text === '' || typeof licence !== 'string') {
    throw new Error(`${folder} is in the bundle but has no licence text`);
  }
  return {
    name: String(manifest['name']),
    version: String(manifest['version']),
    licence,
    text,
    further: find(/^third.?party.?notice/i),
  };
}

/** THIRD-PARTY-NOTICES.txt: each package in the bundles with its licence. */
export function notices(packages: readonly BundledPackage[]): string {
  const parts = packages.map(
    ({ name, version, licence, text, further }) =>
      `${'='.repeat(80)}\n${name} ${version} (${licence})\n${'='.repeat(80)}\n\n${text}\n${further === '' ? '' : `\n${further}\n`}`,
  );
  const head = 'This extension contains code of the following packages, each under its own licence.\n';
  return `${head}\n${parts.join('\n')}`.replaceAll('\r\n', '\n');
}

/**
 * A CycloneDX software bill of materials of what is in the bundles; without times and random numbers, so that it repeats.
 * @param ownVersion the version of the package, where that is not the repository's
 */
export function softwareBill(packages: readonly BundledPackage[], ownVersion?: string): string {
  const { name, version: repositoryVersion } = readJson('package.json');
  const version = ownVersion ?? repositoryVersion;
  const bill = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: {
        type: 'application',
        'bom-ref': `${name}@${version}`,
        name,
        version,
        licenses: [{ license: { id: 'MIT' } }],
      },
    },
    components: packages.map((item) => {
      const purl = `pkg:npm/${item.name.replace('@', '%40')}@${item.version}`;
      return {
        type: 'library',
        'bom-ref': purl,
        name: item.name,
        version: item.version,
        purl,
        licenses: [/^[\w.-]+$/.test(item.licence) ? { license: { id: item.licence } } : { expression: item.licence }],
        hashes: integrityOf(item),
      };
    }),
    dependencies: [
      {
        ref: `${name}@${version}`,
        dependsOn: packages.map((item) => `pkg:npm/${item.name.replace('@', '%40')}@${item.version}`),
      },
    ],
  };
  return `${JSON.stringify(bill, null, 2)}\n`;
}

/** The digest that the lockfile holds for the package. */
function integrityOf({ name, version }: BundledPackage): { alg: string; content: string }[] {
  if (!existsSync(join(root, 'package-lock.json'))) {
    return [];
  }
  const packages = readJson('package-lock.json')['packages'];
  for (const [path, entry] of Object.entries(typeof packages === 'object' && packages !== null ? packages : {})) {
    if (path.endsWith(`node_modules/${name}`) && entry.version === version && typeof entry.integrity === 'string') {
      const [algorithm = '', digest = ''] = entry.integrity.split('-');
      return algorithm === 'sha512' ? [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }] : [];
    }
  }
  return [];
}
