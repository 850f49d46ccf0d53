import { nearest } from '../text/nearest.ts';
import { isHardToSee, printable, visible } from '../text/text.ts';
import { type Cloud, type PresetName, presetNames } from './clouds.ts';

/** One requested access token. */
export interface ScopeLine {
  /** The name under which its outputs are set; undefined for the one line that needs no name. */
  readonly name: string | undefined;
  /** What Entra is asked for; always ends in `/.default`. */
  readonly scope: string;
  /** The same, as the user wrote it. */
  readonly asked: string;
  /** Counted from 1, as an editor counts. */
  readonly line: number;
}

const NAME = /^[A-Za-z][A-Za-z0-9_]*$/;
const RESOURCE_URI = /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/|urn:)[^\s"'<>\\^`{|}]+$/i;
const APPLICATION_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** A line as messages name it; a preset with its resource: `scopes, line 1 (kv = keyVault, https://vault.azure.net)`. */
export function describeLine({ line, name, asked, scope }: ScopeLine): string {
  const what = name === undefined ? asked : `${name} = ${asked}`;
  const resource = isPreset(asked) ? `, ${scope.replace(/\/\.default$/, '')}` : '';
  return `scopes, line ${line} (${printable(what, 200)}${resource})`;
}

/**
 * Reads the input `scopes`: one `[name =] scope` a line. Blank lines and comments are ignored, and what is left over
 * from YAML is accepted. Every fault is added to `faults` as a sentence; the result contains only the valid lines.
 */
export function readScopes(text: string, cloud: Cloud, faults: string[]): ScopeLine[] {
  const lines: ScopeLine[] = [];
  for (const [index, raw] of text.split(/\r\n|\r|\n/).entries()) {
    const line = index + 1;
    const written = withoutDecoration(raw);
    if (written === '') {
      continue;
    }
    const { name, asked } = split(written);
    const said = printable(visible(asked), 200);
    if (name !== undefined && !NAME.test(name)) {
      faults.push(
        `scopes, line ${line}: '${printable(visible(name), 100)}' is not a name; a name starts with a letter and has ` +
          "letters, digits and '_'.",
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
    const read = { name, scope: scope.scope, asked, line };
    const same = lines.find((before) => before.name?.toLowerCase() === name?.toLowerCase());
    if (same === undefined) {
      lines.push(read);
    } else if (name === undefined) {
      faults.push(`scopes, lines ${same.line} and ${line}: only one line may have no name; write 'name = ${said}'.`);
    } else {
      faults.push(
        `scopes, lines ${same.line} and ${line}: the name '${name}' is used twice (names are not case-sensitive).`,
      );
    }
  }
  if (lines.length === 0 && faults.length === 0) {
    faults.push('scopes names no resource; leave it out for the default, or write one resource on each line.');
  }
  return lines;
}

/** A line without what has no meaning: a comment, the dash of a list, quotation marks, a comma at the end. */
function withoutDecoration(raw: string): string {
  const text = trimmed(raw)
    .replace(/^#.*$|\s#.*$/u, '')
    .replace(/^-\s+/u, '')
    .replace(/[,;\s]+$/u, '');
  return unquoted(text);
}

/** Blanks of every kind and invisible characters, which text copied from a page has around it. */
function trimmed(text: string): string {
  return text.replace(/^[\s\p{C}]+|[\s\p{C}]+$/gu, '');
}

function unquoted(text: string): string {
  return /^(["'])[^"']*\1$/u.test(text) ? trimmed(text.slice(1, -1)) : text;
}

/**
 * A resource URI may contain `=` itself, in a query; what precedes the sign is a name only if it has no `:` or `/`. A
 * YAML colon counts as the sign if a blank or a preset follows it.
 */
function split(line: string): { name: string | undefined; asked: string } {
  const [, before, after] = /^([^=:/]*)=(.*)$/su.exec(line) ?? yamlPair(line) ?? [];
  return before === undefined || after === undefined
    ? { name: undefined, asked: line }
    : { name: unquoted(before.trim()), asked: unquoted(after.trim()) };
}

function yamlPair(line: string): RegExpExecArray | undefined {
  const pair = /^([A-Za-z]\w*|"[^"]*"|'[^']*')\s*:(?!\/\/)(.*)$/su.exec(line) ?? undefined;
  const after = pair?.[2] ?? '';
  return /^\s/u.test(after) || isPreset(unquoted(after)) ? pair : undefined;
}

function presetOf(asked: string): PresetName | undefined {
  const word = withoutDefault(asked).toLowerCase();
  return presetNames.find((candidate) => candidate.toLowerCase() === word);
}

function isPreset(asked: string): boolean {
  return presetOf(asked) !== undefined;
}

/** A delegated permission of one of the well-known resources, such as `https://graph.microsoft.com/User.Read`. */
function permissionIn(asked: string, { resources }: Cloud): string | undefined {
  const [, resource = '', permission] = /^(https:\/\/.+)\/([A-Za-z]+(?:[._][A-Za-z]+)+)$/.exec(asked) ?? [];
  return Object.values(resources).some((known) => known === resource) ? permission : undefined;
}

function isResource(text: string): boolean {
  return RESOURCE_URI.test(text) || APPLICATION_ID.test(text);
}

function resolve(asked: string, cloud: Cloud): { scope: string } | { fault: string } {
  const said = printable(visible(asked), 200);
  const several = asked.split(/[,;]/u).map(trimmed);
  if (/\s/u.test(asked) || (several.length > 1 && several.every((part) => isPreset(part) || isResource(part)))) {
    return {
      fault: `'${said}' contains a space or a comma; Entra issues a token for one resource, so write one resource on each line.`,
    };
  }
  if ([...asked].some(isHardToSee)) {
    return { fault: `'${said}' holds a character that cannot be seen; type the line again.` };
  }
  const preset = presetOf(asked);
  if (preset !== undefined) {
    return resolvePreset(preset, cloud);
  }
  const resource = withoutDefault(asked);
  const permission = permissionIn(resource, cloud);
  if (permission !== undefined) {
    return {
      fault:
        `'${said}' asks for the permission '${permission}'; an application gets all that it was granted at once, so write ` +
        `the resource alone: ${resource.slice(0, -permission.length - 1)}.`,
    };
  }
  if (isResource(resource)) {
    return { scope: withDefault(resource) };
  }
  const isHost = /^[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:\/\S*)?$/i.test(resource);
  const meant = isHost ? `https://${resource}` : nearest(resource, presetNames);
  const forms = 'a preset, a resource URI such as https://vault.azure.net, or an application ID';
  return {
    fault:
      meant === undefined
        ? `'${said}' is not ${forms}. The presets are ${presetNames.join(', ')}.`
        : `'${said}': did you mean ${meant}? A scope is ${forms}.`,
  };
}

function resolvePreset(preset: PresetName, cloud: Cloud): { scope: string } | { fault: string } {
  const resource = cloud.resources[preset];
  if (resource === undefined) {
    return { fault: `the preset '${preset}' does not exist in ${cloud.title}; write the resource URI instead.` };
  }
  return { scope: withDefault(resource) };
}

/** Entra accepts the suffix only in lower case. */
function withoutDefault(asked: string): string {
  return asked.replace(/(?:\/\.default)+\/?$/i, '');
}

/**
 * `https://host/` becomes `https://host//.default`: Entra removes `/.default` and uses the rest as the audience, and
 * with and without a slash at its end are two audiences (azure-arm-rest does the same).
 */
function withDefault(resource: string): string {
  return `${resource}/.default`;
}
