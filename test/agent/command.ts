/** A logging command, `##vso[area.event key=value;…]data`, as the agent reads it from a line of output. */
export interface Command {
  area: string;
  event: string;
  /** Keys in lower case: the agent looks them up without regard to case. */
  properties: Map<string, string>;
  data: string;
}

const PREFIX = '##vso[';

/**
 * Reads the command in a line, or undefined where there is none. Keys and values are not trimmed, a value may be empty
 * only by being absent, and what stands before the prefix is dropped (agent: Command.cs, TryParse).
 */
export function parseCommand(line: string, decodePercents = true): Command | undefined {
  const prefix = line.indexOf(PREFIX);
  if (prefix < 0) return undefined;
  const end = line.indexOf(']', prefix);
  if (end < 0) return undefined;

  const header = line.slice(prefix + PREFIX.length, end);
  const space = header.indexOf(' ');
  const name = space < 0 ? header : header.slice(0, space);
  const [area, event, ...more] = name.split('.').filter((part) => part !== '');
  if (area === undefined || event === undefined || more.length > 0) return undefined;

  const properties = new Map<string, string>();
  for (const text of space < 0 ? [] : header.slice(space + 1).split(';')) {
    // .NET's Split with two parts and no empty entries swallows every leading "=" of both parts.
    const [, key, value] = /^=*([^=]+)=+([^=].*)$/s.exec(text) ?? [];
    if (key === undefined || value === undefined) continue;
    properties.set(key.toLowerCase(), unescapeText(value, decodePercents));
  }
  return { area, event, properties, data: unescapeText(line.slice(end + 1), decodePercents) };
}

/**
 * Undoes the escapes of a command. They are case-sensitive, `%AZP25` comes last, and `%25` is not one of them
 * (agent: CommandStringConvertor.cs).
 */
export function unescapeText(text: string, decodePercents = true): string {
  const plain = text.replaceAll('%3B', ';').replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%5D', ']');
  return decodePercents ? plain.replaceAll('%AZP25', '%') : plain;
}

/** Escapes a text as the agent does before it registers a secret's escaped form (agent: CommandStringConvertor.cs). */
export function escapeText(text: string, decodePercents = true): string {
  return (decodePercents ? text.replaceAll('%', '%AZP25') : text)
    .replaceAll(';', '%3B')
    .replaceAll('\r', '%0D')
    .replaceAll('\n', '%0A')
    .replaceAll(']', '%5D');
}
