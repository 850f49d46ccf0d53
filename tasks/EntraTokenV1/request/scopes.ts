import { type Cloud, type PresetName, presetNames } from './clouds.ts';

/** One access token that the step is asked for. */
export interface ScopeLine {
  /** The name under which its outputs are set; undefined for the one line that may go without. */
  readonly name: string | undefined;
  /** What Entra is asked for; always ends in `/.default`. */
  readonly scope: string;
  /** The same as the user wrote it. */
  readonly asked: string;
  /** Counted from 1, as an editor counts. */
  readonly line: number;
}

const NAME = /^[A-Za-z][A-Za-z0-9_]*$/;
const RESOURCE_URI = /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/|urn:)[^\s"'<>\\^`{|}]+$/i;
const APPLICATION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}(?:\/\.default)?$/i;

/**
 * Reads the input `scopes`: one `[name =] scope` a line. Blank lines do not count. Every fault is added to `faults`
 * as a whole sentence; the result holds only the lines that are right.
 */
export function readScopes(text: string, cloud: Cloud, faults: string[]): ScopeLine[] {
  const lines: ScopeLine[] = [];
  const names = new Map<string, number>();
  let unnamed: number | undefined;
  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1;
    const trimmed = raw.trim();
    if (trimmed === '') {
      continue;
    }
    const { name, asked } = split(trimmed);
    if (name !== undefined && !NAME.test(name)) {
      faults.push(
        `scopes, line ${line}: '${name}' is no name; a name starts with a letter and has letters, digits and '_'.`,
      );
      continue;
    }
    if (asked === '') {
      faults.push(`scopes, line ${line}: the name '${name}' has no scope after '='.`);
      continue;
    }
    const scope = resolve(asked, cloud);
    if ('fault' in scope) {
      faults.push(`scopes, line ${line}: ${scope.fault}`);
      continue;
    }
    if (name === undefined) {
      if (unnamed !== undefined) {
        faults.push(
          `scopes, lines ${unnamed} and ${line}: only one line may go without a name; write 'name = ${asked}'.`,
        );
        continue;
      }
      unnamed = line;
    } else {
      const before = names.get(name.toLowerCase());
      if (before !== undefined) {
        faults.push(`scopes, lines ${before} and ${line}: the name '${name}' stands twice (case does not count).`);
        continue;
      }
      names.set(name.toLowerCase(), line);
    }
    lines.push({ name, scope: scope.scope, asked, line });
  }
  return lines;
}

/** A resource URI may hold `=` itself, in a query; what precedes the sign is a name only where it has no `:` or `/`. */
function split(line: string): { name: string | undefined; asked: string } {
  const sign = line.indexOf('=');
  const before = sign < 0 ? '' : line.slice(0, sign).trim();
  if (sign < 0 || /[:/]/.test(before)) {
    return { name: undefined, asked: line };
  }
  return { name: before, asked: line.slice(sign + 1).trim() };
}

function resolve(asked: string, cloud: Cloud): { scope: string } | { fault: string } {
  if (/\s/.test(asked)) {
    return { fault: `'${asked}' has a blank inside; Entra gives one token for one resource, so write one a line.` };
  }
  const word = asked.toLowerCase().replace(/\/\.default$/, '');
  const preset = presetNames.find((candidate) => candidate.toLowerCase() === word);
  if (preset !== undefined) {
    return resolvePreset(preset, cloud);
  }
  if (RESOURCE_URI.test(asked) || APPLICATION_ID.test(asked)) {
    return { scope: withDefault(asked) };
  }
  return {
    fault:
      `'${asked}' is no preset (${presetNames.join(', ')}), no resource URI such as https://vault.azure.net, ` +
      'and no application ID.',
  };
}

function resolvePreset(preset: PresetName, cloud: Cloud): { scope: string } | { fault: string } {
  const resource = cloud.resources[preset];
  if (resource === undefined) {
    return { fault: `the preset '${preset}' does not exist in ${cloud.title}; write the resource URI instead.` };
  }
  return { scope: withDefault(resource) };
}

/**
 * `https://host/` becomes `https://host//.default`: Entra cuts off `/.default` and takes the rest as the audience, and
 * with a slash at its end that is another audience than without (azure-arm-rest builds the same).
 */
function withDefault(resource: string): string {
  return resource.endsWith('/.default') ? resource : `${resource}/.default`;
}
