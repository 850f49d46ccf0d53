import { EntraRefusal, Failure } from '../failure/failure.ts';
import type { IdToken } from '../id-token/id-token.ts';
import type { Request } from '../request/request.ts';
import type { ScopeLine } from '../request/scopes.ts';
import type { OpenSource } from '../source/source.ts';
import { alsoInParts, duration, instant, printable, splitHidden } from '../text/text.ts';

/** Codes that mean: no federated credential of the identity fits the ID token. */
const mismatches: ReadonlySet<string> = new Set([
  'ET_NO_FEDERATED_CREDENTIAL',
  'ET_ISSUER_MISMATCH',
  'ET_SUBJECT_MISMATCH',
  'ET_AUDIENCE_MISMATCH',
]);

/** A clock that is this far off can make a fresh ID token invalid. */
const NAMED_SKEW_MS = 2 * 60_000;

/** Adds to a failed exchange what only the whole step knows: its line, client, tenant, and the credential that is missing. */
export function explain(failure: Failure, line: ScopeLine, request: Request, source: OpenSource): Failure {
  const what = line.name === undefined ? line.asked : `${line.name} = ${line.asked}`;
  const who = `client ${shown(request.clientId, request)} in tenant ${request.tenantId} at ${request.authority}`;
  const happened = `scopes, line ${line.line} (${printable(what, 200)}): ${failure.happened} It was asked as ${who}.`;
  if (mismatches.has(failure.code)) {
    return new Failure(
      failure.code,
      `${happened} ${missingCredential(request, source.first)}${stored(request, source)}`,
      creation(request, source.first),
    );
  }
  if (failure.code === 'ET_ASSERTION_TIME') {
    return new Failure(failure.code, `${happened} ${times(source.first, failure)}`, failure.advice);
  }
  return new Failure(failure.code, happened, failure.advice);
}

/** A value, and beside it its parts where the agent hides it. */
function shown(text: string, { source }: Request): string {
  const parts = alsoInParts(printable(text), 'connection' in source ? source.connection.hidden : []);
  return parts === '' ? `${printable(text)}` : `${printable(text)} (${parts})`;
}

function missingCredential(request: Request, idToken: IdToken): string {
  return (
    `The federated credential would have to be: issuer ${shown(idToken.issuer, request)}, ` +
    `subject ${shown(idToken.subject, request)}, audience ${audience(idToken)}.`
  );
}

function audience(idToken: IdToken): string {
  return idToken.audiences.map((name) => printable(name, 200)).join(', ');
}

/** What the connection stores of its credential, where that is not what the ID token has; it tells what was renamed. */
function stored(request: Request, { kind, first: idToken }: OpenSource): string {
  // Where the pod's token stood in, it has nothing to do with what the connection stores.
  if (!('connection' in request.source) || kind === 'kubernetes') {
    return '';
  }
  const { storedIssuer, storedSubject } = request.source.connection;
  return [
    compare('issuer', storedIssuer, idToken.issuer, request),
    compare('subject', storedSubject, idToken.subject, request),
  ].join('');
}

function compare(what: string, storedText: string | undefined, actual: string, request: Request): string {
  if (storedText === undefined || storedText === actual) {
    return '';
  }
  return ` The connection stores the ${what} ${shown(storedText, request)}; ${difference(storedText, actual)}.`;
}

/** In words, how two issuers or subjects differ. */
export function difference(storedText: string, actual: string): string {
  if (storedText.toLowerCase() === actual.toLowerCase()) {
    return 'the two differ in upper and lower case alone';
  }
  if (storedText.replace(/\/+$/, '') === actual.replace(/\/+$/, '')) {
    return 'the two differ in a slash at the end alone';
  }
  if (isOldIssuer(storedText) !== isOldIssuer(actual) && /^https:/.test(actual)) {
    return isOldIssuer(storedText)
      ? 'that is the old issuer, the connection was converted to Entra’s'
      : 'the ID token comes from the old issuer, the conversion of the connection was not finished or was undone';
  }
  if (/^sc:\/\//.test(storedText) && /^sc:\/\//.test(actual)) {
    return 'the organization, the project or the connection was renamed';
  }
  if (/^sc:\/\//.test(storedText) !== /^sc:\/\//.test(actual)) {
    return 'one has the form of the old issuer and the other that of Entra’s';
  }
  return 'the two differ';
}

/** The issuers that Azure DevOps used before Entra's own. */
export function isOldIssuer(issuer: string): boolean {
  return /^https:\/\/(?:vstoken\.dev\.azure\.com|app\.vstoken\.visualstudio\.com)(?:\/|$)/i.test(issuer);
}

/** The command that creates the credential; for an application, or for a managed identity where the connection says so. */
function creation(request: Request, idToken: IdToken): string {
  const [issuer = '', subject = ''] = [printable(idToken.issuer), printable(idToken.subject)];
  const json = `{"name":"azure-pipelines","issuer":${jsonShown(issuer, request)},"subject":${jsonShown(subject, request)},"audiences":[${JSON.stringify(audience(idToken))}]}`;
  const forIdentity =
    'az identity federated-credential create --name azure-pipelines --identity-name <name> --resource-group <group> ' +
    `--issuer ${quotedShown(issuer, request)} --subject ${quotedShown(subject, request)} ` +
    `--audiences ${shellQuoted(audience(idToken))}`;
  const forApplication =
    `az ad app federated-credential create --id ${quotedShown(request.clientId, request)} ` +
    `--parameters ${shellQuoted(json)}`;
  const hint = 'Copy it as it stands, into Bash; case and every slash count.';
  if ('connection' in request.source && request.source.connection.isManagedIdentity) {
    return `Create it with: ${forIdentity} . ${hint}`;
  }
  return `Create it with: ${forApplication} (for a managed identity: ${forIdentity}). ${hint}`;
}

/** A JSON string; where the agent would hide the text, one character of it is escaped, which means the same to JSON. */
function jsonShown(text: string, { source }: Request): string {
  const parts = splitHidden(text, 'connection' in source ? source.connection.hidden : []);
  const escaped = parts.slice(1).map((part) => {
    const code = part.charCodeAt(0).toString(16).padStart(4, '0');
    return `\\u${code}${JSON.stringify(part.slice(1)).slice(1, -1)}`;
  });
  return `"${[JSON.stringify(parts[0]).slice(1, -1), ...escaped].join('')}"`;
}

/** Quoted for Bash; where the agent would hide the text, in adjoining pieces, which Bash takes for one. */
function quotedShown(text: string, { source }: Request): string {
  const parts = splitHidden(text, 'connection' in source ? source.connection.hidden : []);
  return parts.map(shellQuoted).join('');
}

function shellQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function times(idToken: IdToken, failure: Failure): string {
  const skewMs = failure instanceof EntraRefusal ? failure.skewMs : undefined;
  const valid =
    idToken.issuedAt === undefined
      ? `The ID token is valid until ${instant(idToken.expiresAt)}.`
      : `The ID token is valid from ${instant(idToken.issuedAt)} until ${instant(idToken.expiresAt)}.`;
  if (skewMs === undefined || Math.abs(skewMs) < NAMED_SKEW_MS) {
    return valid;
  }
  const direction = skewMs > 0 ? 'behind' : 'ahead of';
  return `${valid} The clock of this machine is ${duration(Math.abs(skewMs))} ${direction} Entra's.`;
}
