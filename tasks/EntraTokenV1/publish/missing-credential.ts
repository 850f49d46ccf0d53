import { createHash } from 'node:crypto';
import { isHardToSee, splitHidden, unicodeEscape } from '../text/text.ts';

/** A federated credential that an identity lacks. */
export interface MissingCredential {
  /** Its name; see `credentialName`. */
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  /** Client of the application or managed identity. */
  readonly clientId: string;
}

/**
 * A unique name for this credential, so that creating it never replaces another one: `az identity` replaces a
 * credential with the same name. Both commands accept 3 to 120 letters, digits, `-` and `_`, of which the first is a
 * letter or digit.
 * @param owner what the ID token belongs to: the ID of a service connection, for example
 */
export function credentialName(
  owner: string,
  { issuer, subject, audience }: Omit<MissingCredential, 'name' | 'clientId'>,
): string {
  const word = owner.replace(/[^A-Za-z0-9_-]+/g, '-').slice(0, 80);
  const mark = createHash('sha256').update([owner, issuer, subject, audience].join('\n')).digest('hex').slice(0, 8);
  return `azure-pipelines-${word}-${mark}`;
}

/** A command for an application and one for a managed identity. */
interface Commands {
  readonly application: string;
  readonly identity: string;
}

/**
 * Commands for Bash that create a credential. They can be copied from the log, because they contain no text that the
 * agent masks.
 * @param hidden what the agent masks
 */
export function creationCommands(credential: MissingCredential, hidden: readonly string[]): Commands {
  const { name, issuer, subject, audience, clientId } = credential;
  const word = (text: string): string => bashWord(text, hidden);
  // Git Bash on Windows converts an argument that begins with a slash to a path.
  const asItStands = subject.startsWith('/') ? 'MSYS_NO_PATHCONV=1 ' : '';
  return {
    application:
      `az ad app federated-credential create --id ${word(clientId)} ` +
      `--parameters '${json({ name, issuer, subject, audiences: [audience] }, hidden, mustBeEscaped)}'`,
    identity:
      `${asItStands}az identity federated-credential create --name ${name} --identity-name '<name>' ` +
      `--resource-group '<group>' --issuer ${word(issuer)} --subject ${word(subject)} --audiences ${word(audience)}`,
  };
}

/**
 * The same for PowerShell. Windows PowerShell drops quotation marks from the arguments of other programs, and `az` on
 * Windows is a batch file, which reads its arguments once more: so the text goes through a file, in ASCII alone.
 */
export function powerShellCommands(credential: MissingCredential, hidden: readonly string[]): Commands {
  const { name, issuer, subject, audience, clientId } = credential;
  const viaFile = (content: unknown, command: string): string =>
    `$file = New-TemporaryFile; Set-Content -Path $file -Encoding Ascii -Value '${json(content, hidden, isBeyondAscii)}'; ${command} "@$file"`;
  const resource =
    '/subscriptions/{subscriptionId}/resourceGroups/<group>/providers/Microsoft.ManagedIdentity/userAssignedIdentities' +
    `/<name>/federatedIdentityCredentials/${name}?api-version=2023-01-31`;
  return {
    application: viaFile(
      { name, issuer, subject, audiences: [audience] },
      `az ad app federated-credential create --id ${powerShellWord(clientId, hidden)} --parameters`,
    ),
    identity: viaFile(
      { properties: { issuer, subject, audiences: [audience] } },
      `az rest --method put --uri '${resource}' --body`,
    ),
  };
}

/** Commands that list the credentials which an identity has. */
export function listCommands({ clientId }: MissingCredential, hidden: readonly string[]): Commands {
  return {
    application: `az ad app federated-credential list --id ${bashWord(clientId, hidden)}`,
    identity: "az identity federated-credential list --identity-name '<name>' --resource-group '<group>'",
  };
}

/**
 * Adjacent pieces are one word to Bash; characters that are hard to see are written as bytes, which no locale
 * changes.
 */
function bashWord(text: string, hidden: readonly string[]): string {
  return splitHidden(text, hidden).map(bashQuoted).join('');
}

function bashQuoted(text: string): string {
  let written = '';
  let before = '';
  for (const character of text) {
    const bytes = [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`);
    written += mustBeEscaped(character, before) ? `'$'${bytes.join('')}''` : character === "'" ? "'\\''" : character;
    before = character;
  }
  return `'${written}'`;
}

function powerShellWord(text: string, hidden: readonly string[]): string {
  const parts = splitHidden(text, hidden).map((part) => `'${part.replaceAll("'", "''")}'`);
  return parts.length === 1 ? parts.join('') : `(${parts.join('+')})`;
}

/** JSON that can be put between single quotes in every shell: an apostrophe is escaped as well. */
function json(
  content: unknown,
  hidden: readonly string[],
  escapes: (character: string, before: string) => boolean,
): string {
  if (Array.isArray(content)) {
    return `[${content.map((item) => json(item, hidden, escapes)).join(',')}]`;
  }
  if (typeof content === 'object' && content !== null) {
    const members = Object.entries(content).map(([name, value]) => `"${name}":${json(value, hidden, escapes)}`);
    return `{${members.join(',')}}`;
  }
  return `"${splitHidden(String(content), hidden)
    .map((part, index) => jsonCharacters(part, index > 0, escapes))
    .join('')}"`;
}

/** @param escapesFirst escapes the first character, so that no masked text occurs */
function jsonCharacters(
  text: string,
  escapesFirst: boolean,
  escapes: (character: string, before: string) => boolean,
): string {
  let written = '';
  let before = '';
  for (const character of text) {
    const isEscaped = (escapesFirst && before === '') || character === "'" || escapes(character, before);
    written += isEscaped ? unicodeEscape(character) : JSON.stringify(character).slice(1, -1);
    before = character;
  }
  return written;
}

/** A second `#` is among them, because the log separates it from the first where a command could begin. */
function mustBeEscaped(character: string, before: string): boolean {
  return isHardToSee(character) || (character === '#' && before === '#');
}

function isBeyondAscii(character: string, before: string): boolean {
  return !/^[\x20-\x7e]$/.test(character) || mustBeEscaped(character, before);
}
