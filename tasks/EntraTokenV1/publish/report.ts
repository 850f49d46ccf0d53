import type { Agent } from '../agent/agent.ts';
import type { AccessToken } from '../exchange/exchange.ts';
import { isOldIssuer } from '../id-token/issuer.ts';
import type { Request } from '../request/request.ts';
import type { ScopeLine } from '../request/scopes.ts';
import type { OpenSource } from '../source/source.ts';
import { duration, instant, printable, splitHidden, visible } from '../text/text.ts';

type Log = Pick<Agent, 'log' | 'logGroup' | 'warn'>;

/** The widest line: the log of a run is read beside its list of steps, and on small screens. */
const WIDTH = 80;
const INDENT = ' '.repeat(14);

/** Prints the identity of the tokens. */
export function reportIdentity(request: Request, { log }: Pick<Log, 'log'>): void {
  log(`Source        ${describeSource(request)}`);
  for (const line of inParts('Client', request.clientId, hiddenIn(request))) log(line);
  log(`Tenant        ${request.tenantId}`);
}

function describeSource({ source }: Request): string {
  switch (source.kind) {
    case 'azureRM':
      return `azureRM, service connection ${printable(source.connection.id, 60)}`;
    case 'azureDevOps':
      return `azureDevOps, service connection ${printable(source.connection.id, 60)}`;
    case 'pipeline':
      return "pipeline, the pipeline's own identity";
    case 'kubernetes':
      return `kubernetes, ${printable(source.file.path, 300)}`;
  }
}

/**
 * Prints what Entra compares with the federated credential: in a collapsed group if the step succeeded, else in plain
 * lines.
 * @param isOpen true for a step that failed, and for a job with System.Debug
 */
export function reportFederation(
  request: Request,
  source: OpenSource,
  now: number,
  isOpen: boolean,
  { log, logGroup }: Pick<Log, 'log' | 'logGroup'>,
): void {
  const { first } = source;
  const hidden = hiddenIn(request);
  const left = duration(first.expiresAt - now - (source.skewMs ?? 0));
  const lines = [
    ...inParts('  issuer', first.issuer, hidden),
    ...(isOldIssuer(first.issuer) ? stays(request).map((why) => INDENT + why) : []),
    ...inParts('  subject', first.subject, hidden),
    field('  audience', first.audiences.map((audience) => printable(audience, 200)).join(', ')),
    field('  authority', request.authority),
    field('  ID token', `valid until ${instant(first.expiresAt)} (for ${left})`),
  ];
  const isHidden = lines.some((line) => /' \+(?: '|$)/.test(line));
  const title = isHidden
    ? "Federation details ('a' + 'b' is ab, which the agent would print as ***)"
    : 'Federation details';
  if (isOpen) {
    for (const line of [title, ...lines]) log(line);
  } else {
    logGroup(title, lines);
  }
}

function hiddenIn({ source }: Request): readonly string[] {
  return 'connection' in source ? source.connection.hidden : [];
}

function field(name: string, value: string): string {
  return name.padEnd(INDENT.length) + value;
}

/**
 * A value in one line; or, where the agent would replace it by `***`, in quoted parts that together are the value, in
 * as many lines as they need.
 */
function inParts(name: string, value: string, hidden: readonly string[]): string[] {
  const text = visible(value);
  if (splitHidden(text, hidden).length < 2) return [field(name, text)];
  const width = WIDTH - INDENT.length;
  const cut = text.match(new RegExp(`.{1,${width - "'' +".length}}`, 'gsu')) ?? [];
  const lines: string[] = [];
  for (const part of cut.flatMap((piece) => splitHidden(piece, hidden))) {
    const last = lines.at(-1);
    const joined = `${last} + '${part}'`;
    if (last !== undefined && joined.length + ' +'.length <= width) {
      lines[lines.length - 1] = joined;
    } else {
      lines.push(`'${part}'`);
    }
  }
  return lines.map((line, index) => field(index === 0 ? name : '', index === lines.length - 1 ? line : `${line} +`));
}

/** Why the issuer of Azure DevOps, which Microsoft retires for other identities, stays in use for this one; else nothing. */
function stays({ source, cloud, tenantId }: Request): string[] {
  if (!('connection' in source)) return [];
  if (cloud.name !== 'AzureCloud') return ['(stays in use in this cloud)'];
  return source.connection.tenantId.toLowerCase() === tenantId.toLowerCase()
    ? []
    : ['(stays in use for multitenant applications)'];
}

/**
 * Warns of the issuer that Microsoft retires for what can move to Entra's: single-tenant applications and managed
 * identities of the public cloud.
 */
export function reportRetirement(request: Request, { first }: OpenSource, { warn }: Pick<Log, 'warn'>): void {
  if ('connection' in request.source && isOldIssuer(first.issuer) && stays(request).length === 0) {
    warn(
      'The service connection uses the issuer https://vstoken.dev.azure.com, which is retired on 1 July 2027 for ' +
        'single-tenant applications and managed identities. Convert the connection in the project settings: ' +
        'https://learn.microsoft.com/azure/devops/pipelines/release/convert-service-connections. ' +
        '(A multitenant application stays on it.)',
    );
  }
}

/** Prints each resource and when its token expires, and how a later step uses the first one. */
export function reportTokens(
  tokens: ReadonlyMap<ScopeLine, AccessToken>,
  stepName: string,
  now: number,
  { log }: Pick<Log, 'log'>,
): void {
  const step = stepName || '<step name>';
  for (const [line, token] of tokens) {
    log(`Access token  ${printable(line.scope, 200)}`);
    log(`  expires     ${instant(token.expiresAt)} (in ${duration(token.expiresAt - now)})`);
    if (token.refreshAt !== undefined) {
      log(`  refresh     ${instant(token.refreshAt)}`);
    }
    if (tokens.size > 1) {
      log(`  output      $(${step}.${outputName(line, 'accessToken')})`);
    }
  }
  const [first] = tokens.keys();
  if (first !== undefined) {
    log('To use it in a later step:');
    // A block, because a plain scalar of YAML may not hold a colon and a blank.
    log('  - bash: |');
    log('      curl -fsS -H "Authorization: Bearer $TOKEN" "$URL"');
    log('    env:');
    log(`      TOKEN: $(${step}.${outputName(first, 'accessToken')})`);
    if (stepName === '') {
      log('  (the step needs a name: for that)');
    }
  }
}

/** `accessToken`, or `kv.accessToken` for a line with the name `kv`. */
export function outputName(line: ScopeLine, output: string): string {
  return line.name === undefined ? output : `${line.name}.${output}`;
}
