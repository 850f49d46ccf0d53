import { EntraRefusal, Failure } from '../failure/failure.ts';
import type { IdToken } from '../id-token/id-token.ts';
import { isOldIssuer } from '../id-token/issuer.ts';
import type { Request } from '../request/request.ts';
import { describeLine, type ScopeLine } from '../request/scopes.ts';
import type { OpenSource } from '../source/source.ts';
import { alsoInParts, duration, instant, printable, visible } from '../text/text.ts';
import { difference } from './difference.ts';
import {
  creationCommands,
  credentialName,
  listCommands,
  type MissingCredential,
  powerShellCommands,
} from './missing-credential.ts';

/** Codes that mean that no federated credential of the identity matches the ID token. */
const mismatches: ReadonlySet<string> = new Set([
  'ET_NO_FEDERATED_CREDENTIAL',
  'ET_ISSUER_MISMATCH',
  'ET_SUBJECT_MISMATCH',
  'ET_AUDIENCE_MISMATCH',
]);

/** Entra accepts no longer issuer or subject (Graph: federatedIdentityCredential). Characters. */
const LONGEST = 600;

/** A clock that is wrong by this much can make a new ID token invalid. */
const NAMED_SKEW_MS = 2 * 60_000;

/** What the whole step knows of the way to Entra. */
export interface WayToEntra {
  /** The proxy of the agent's configuration, if one is used. */
  readonly proxy: string | undefined;
}

/** Adds to a failed exchange what only the whole step knows: its line, client, tenant, and the credential that is missing. */
export function explain(
  failure: Failure,
  line: ScopeLine,
  request: Request,
  source: OpenSource,
  way: WayToEntra,
): Failure {
  const who = `client ${shown(request.clientId, request)} in tenant ${request.tenantId} at ${request.authority}`;
  const happened = `${describeLine(line)}: ${failure.happened} It was asked as ${who}.`;
  if (mismatches.has(failure.code)) {
    return mismatch(failure, happened, request, source);
  }
  const more = facts(failure, request, source, way);
  const { reason } = failure;
  return new Failure(
    failure.code,
    more === '' ? happened : `${happened} ${more}`,
    failure.advice,
    reason === undefined ? {} : { reason },
  );
}

function facts(failure: Failure, request: Request, source: OpenSource, { proxy }: WayToEntra): string {
  const { first, kind } = source;
  switch (failure.code) {
    case 'ET_ASSERTION_TIME':
      return times(first, failure);
    case 'ET_POLICY':
    case 'ET_ENTRA_TOKEN_AS_ASSERTION':
    case 'ET_ASSERTION_WRONG':
    case 'ET_CREDENTIAL_AMBIGUOUS':
      return (
        `The ID token has the issuer ${shown(first.issuer, request)} and the subject ${shown(first.subject, request)}.` +
        ('connection' in request.source && kind !== 'kubernetes' && !isOldIssuer(first.issuer)
          ? ' The service connection is on Entra’s own issuer.'
          : '')
      );
    case 'ET_TENANT_RESTRICTION':
      return proxy === undefined
        ? 'The agent is configured with no proxy for this host, so it is one that the network puts in.'
        : `The agent reaches Entra through the proxy ${proxy}.`;
    default:
      return '';
  }
}

/** The values that the agent masks although they are not secret. */
function hiddenOf({ source }: Request): readonly string[] {
  return 'connection' in source ? source.connection.hidden : [];
}

/** A value, followed by its parts if the agent masks it. */
function shown(text: string, request: Request): string {
  const said = printable(visible(text), 4 * LONGEST);
  const parts = alsoInParts(said, hiddenOf(request));
  return parts === '' ? said : `${said} (${parts})`;
}

function missingCredential(request: Request, { kind, first }: OpenSource): MissingCredential {
  const { idTokenAudience } = request.cloud;
  const owner = kind !== 'kubernetes' && 'connection' in request.source ? request.source.connection.id : kind;
  const credential = {
    issuer: first.issuer,
    subject: first.subject,
    audience: first.audiences.includes(idTokenAudience) ? idTokenAudience : (first.audiences[0] ?? idTokenAudience),
  };
  return { ...credential, name: credentialName(owner, credential), clientId: request.clientId };
}

function describe({ issuer, subject, audience }: MissingCredential, request: Request): string {
  return (
    `The federated credential would have to be: issuer ${shown(issuer, request)}, ` +
    `subject ${shown(subject, request)}, audience ${shown(audience, request)}.`
  );
}

/** What the connection stores of its credential, if the ID token differs; it shows what was renamed. */
function stored(request: Request, { kind, first: idToken }: OpenSource): string {
  // If the pod's token was used instead, it has nothing to do with what the connection stores.
  if (!('connection' in request.source) || kind === 'kubernetes') {
    return '';
  }
  const { storedIssuer, storedSubject } = request.source.connection;
  return [
    compare('issuer', storedIssuer, idToken.issuer, request),
    compare('subject', storedSubject, idToken.subject, request),
  ].join('');
}

/** A cluster without the OIDC issuer of AKS has a private issuer name, so no credential helps. */
function ofCluster({ issuer }: MissingCredential): string {
  return /^https:\/\/[^/]*\.svc(?:[.:/]|$)|^kubernetes\/serviceaccount$/.test(issuer)
    ? ' Entra cannot reach that issuer: enable the OIDC issuer of the cluster (az aks update --enable-oidc-issuer), and ' +
        'start the pod anew.'
    : '';
}

function compare(what: string, storedText: string | undefined, actual: string, request: Request): string {
  if (storedText === undefined || storedText === actual) {
    return '';
  }
  return ` The connection stores the ${what} ${shown(storedText, request)}; ${difference(storedText, actual)}.`;
}

/** A longer line might be cut, and a command that is cut creates something else. Characters. */
const LONGEST_COMMAND = 4000;

/** The commands that create the credential: the one for Bash in the error line, all of them as lines of the log. */
function mismatch({ code, advice }: Failure, happened: string, request: Request, source: OpenSource): Failure {
  const credential = missingCredential(request, source);
  const said = `${happened} ${describe(credential, request)}${stored(request, source)}${ofCluster(credential)}`;
  if (Math.max(credential.issuer.length, credential.subject.length) > LONGEST) {
    return new Failure(
      code,
      said,
      `Entra accepts no issuer or subject of more than ${LONGEST} characters: give the connection, project or ` +
        'organization a shorter name.',
    );
  }
  // The client may be a secret variable of the job as well; split, it is the same to every shell.
  const hidden = [...hiddenOf(request), credential.clientId];
  const kinds: readonly ('application' | 'identity')[] =
    'connection' in request.source && request.source.connection.isManagedIdentity
      ? ['identity']
      : ['application', 'identity'];
  const [first = 'application'] = kinds;
  const command = creationCommands(credential, hidden)[first];
  const look = listCommands(credential, hidden)[first];
  const before =
    code === 'ET_AUDIENCE_MISMATCH'
      ? `Entra takes each pair of issuer and subject once: find the credential that has them with another audience ` +
        `(${look}) and delete it first.`
      : `If it may be there already, look first: ${look} .`;
  const creation =
    command.length > LONGEST_COMMAND
      ? 'The command that creates it is in the log, above this line.'
      : `Create it, in Bash: ${command} . The log above has it for PowerShell as well; case and every slash count.`;
  return new Failure(code, said, [before, creation, advice ?? ''].join(' ').trim(), {
    lines: [
      `The commands below create the federated credential that is missing. ${signIn(request)} Copy one as it stands.`,
      ...kinds.flatMap((kind) => linesOf(kind, credential, hidden)),
    ],
  });
}

/** An application is changed in its home tenant, whatever tenant the token is for. */
function signIn({ source, tenantId, cloud }: Request): string {
  const own = 'connection' in source ? source.connection.tenantId : tenantId;
  const isNational = cloud.name === 'AzureUSGovernment' || cloud.name === 'AzureChinaCloud';
  return `Sign in to the tenant first: ${isNational ? `az cloud set --name ${cloud.name}; ` : ''}az login --tenant ${own} .`;
}

function linesOf(
  kind: 'application' | 'identity',
  credential: MissingCredential,
  hidden: readonly string[],
): readonly string[] {
  const whose = kind === 'application' ? 'of an application' : 'of a managed identity (put in <name> and <group>)';
  return [
    `Credential ${whose}, in Bash:`,
    creationCommands(credential, hidden)[kind],
    `Credential ${whose}, in PowerShell:`,
    powerShellCommands(credential, hidden)[kind],
  ];
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
