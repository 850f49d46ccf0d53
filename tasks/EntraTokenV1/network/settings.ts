import { isIPv6 } from 'node:net';
import { Failure } from '../failure/failure.ts';
import type { Origins } from '../origins/origins.ts';
import { Secret } from '../text/secret.ts';
import { printable } from '../text/text.ts';
import { tryUrl } from '../text/url.ts';
import { type ClientCertificate, readAuthorities, readClientCertificate, shownFile } from './certificate-files.ts';

/** A proxy and the credentials for it. */
export interface HttpProxy {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: Secret | undefined;
}

/** The hosts that are reached without the proxy: the agent's own regular expressions, or the hosts of NO_PROXY. */
export type Bypass = { readonly patterns: readonly string[] } | { readonly hosts: readonly string[] };

/** How the machine reaches both services. Plain data, so that the background process can be given the same. */
export interface Network {
  readonly proxy: HttpProxy | undefined;
  readonly bypass: Bypass;
  /** PEM text of authorities that are trusted besides the system's. */
  readonly authorities: string | undefined;
  /** The file of NODE_EXTRA_CA_CERTS, which Node adds to the system's authorities; only if it is trusted. */
  readonly extraAuthoritiesFile: string | undefined;
  /** True if Node has loaded authorities that must not be trusted, so that only those that come with Node are used. */
  readonly bundledAuthoritiesOnly: boolean;
  readonly clientCertificate: ClientCertificate | undefined;
  readonly skipCertificateValidation: boolean;
}

/** Where the settings come from: the agent's variables and files, and the environment that the agent was started in. */
export interface NetworkFacts {
  variable(name: string): string | undefined;
  /** A variable whose value is masked and never printed. */
  secretVariable(name: string): string | undefined;
  readonly origins: Pick<Origins, 'environment' | 'agentFiles' | 'isInJobFolders'>;
  /** Masks a text from now on. */
  mask(text: string): void;
  /** Keeps a secret, and pieces of it, out of everything that the task prints. */
  guard(secret: string): void;
  log(line: string): void;
}

/** Variables that add to the authorities that Node trusts. */
const TRUST_VARIABLES = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'] as const;

/**
 * Reads the agent's network settings; where the agent names no proxy, HTTPS_PROXY and NO_PROXY in both spellings (the
 * agent itself sets neither). Throws a Failure for a proxy address or a file that cannot be used.
 *
 * An earlier step that prints can set each of these variables where the agent has not set it. It may choose a proxy,
 * because TLS goes through it, but not whom TLS trusts: a file is used if the machine or the agent's own files name
 * it, or if it is outside of the folders that a job fills, where only an administrator puts files. Certificate
 * validation is skipped only if the agent's own files say so.
 */
export function readNetwork(facts: NetworkFacts): Network {
  const foreign = TRUST_VARIABLES.filter((name) => {
    const found = facts.origins.environment(name);
    return found?.owner === 'pipeline' && facts.origins.isInJobFolders(found.value.trim());
  });
  for (const name of foreign) {
    facts.log(
      `${name} is a pipeline variable and names a file of the job (${shownFile(facts.origins.environment(name)?.value)}), ` +
        'so it is not trusted. Authorities are trusted from the agent’s configuration (--sslcacert), from the machine, or ' +
        'from a file outside of the job’s folders.',
    );
  }
  return {
    ...(readAgentProxy(facts) ?? readEnvironmentProxy(facts)),
    authorities: readAuthorities(facts),
    extraAuthoritiesFile: foreign.includes('NODE_EXTRA_CA_CERTS')
      ? undefined
      : facts.origins.environment('NODE_EXTRA_CA_CERTS')?.value,
    bundledAuthoritiesOnly: foreign.length > 0,
    clientCertificate: readClientCertificate(facts),
    skipCertificateValidation: readSkip(facts),
  };
}

/** The agent's own file decides, because a printed variable takes effect where the agent sets none. */
function readSkip({ variable, origins, log }: NetworkFacts): boolean {
  if (variable('Agent.SkipCertValidation')?.toLowerCase() !== 'true') {
    return false;
  }
  const files = origins.agentFiles();
  if (files?.skipsCertificateValidation !== true) {
    const why =
      files === undefined ? 'the agent’s own files cannot be read here' : 'the agent’s own files do not say so';
    log(
      `Agent.SkipCertValidation is ignored, because ${why}: certificates are validated. To trust an authority, set ` +
        'NODE_EXTRA_CA_CERTS on the machine, or to a file outside of the job’s folders.',
    );
  }
  return files?.skipsCertificateValidation === true;
}

function readAgentProxy(facts: NetworkFacts): Pick<Network, 'proxy' | 'bypass'> | undefined {
  const address = facts.variable('Agent.ProxyUrl');
  if (!address) {
    return undefined;
  }
  const configured = facts.origins.agentFiles()?.proxy;
  const told = parseProxy(address, 'Agent.ProxyUrl', facts);
  const proxy = configured === undefined ? told : parseProxy(configured, 'The agent’s file .proxy', facts);
  if (proxy.url !== told.url) {
    facts.log(`Agent.ProxyUrl names ${told.url}; the agent’s own file .proxy names ${proxy.url}, which is used.`);
  }
  const password = facts.secretVariable('Agent.ProxyPassword');
  return {
    proxy: maskedProxy(
      {
        url: proxy.url,
        username: facts.variable('Agent.ProxyUsername') || proxy.username || told.username,
        password: password ? Secret.maskedByAgent(password) : (proxy.password ?? told.password),
      },
      facts,
    ),
    bypass: { patterns: readPatterns(facts) },
  };
}

/**
 * The list is a JSON array of regular expressions (agent: VstsAgentWebProxy). From NO_PROXY the agent makes entries
 * such as `*\\.corp\\.example`, which are not regular expressions: they are read as the host names that they were
 * made from. An entry without a meaning is ignored, with a line in the log.
 */
function readPatterns({ variable, log }: NetworkFacts): string[] {
  const items = readList(variable('Agent.ProxyBypassList'));
  if (items === undefined) {
    log('Agent.ProxyBypassList is not a list, and is ignored: every host is reached through the proxy.');
  }
  return (items ?? []).flatMap((item) => {
    const pattern = isPattern(item) ? item : patternOfHost(item.replace(/\\(.)/g, '$1'));
    if (pattern === undefined) {
      log(`Agent.ProxyBypassList: '${printable(item, 100)}' is neither an expression nor a host, and is ignored.`);
    }
    return pattern ?? [];
  });
}

function readList(json: string | undefined): string[] | undefined {
  try {
    const list: unknown = JSON.parse(json || '[]');
    return Array.isArray(list)
      ? list.filter((item): item is string => typeof item === 'string' && item.trim() !== '')
      : undefined;
  } catch {
    return undefined;
  }
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

/** An entry of NO_PROXY as an expression for `https://host:port/`: the host itself, and what ends in it. */
function patternOfHost(entry: string): string | undefined {
  const [, name = '', port] = /^\*?\.?((?:[\w*-]+\.)*[\w*-]+)?(:\d+)?$/.exec(entry.trim()) ?? [];
  if (entry.trim() === '*') {
    return '';
  }
  const host = name.replaceAll('.', '\\.').replaceAll('*', '[^/]*');
  return name === '' ? undefined : `^(?:https?://)?(?:[^/]*\\.)?${host}${port ?? '(?::\\d+)?'}/?$`;
}

function readEnvironmentProxy(facts: NetworkFacts): Pick<Network, 'proxy' | 'bypass'> {
  const address = facts.origins.environment('HTTPS_PROXY')?.value || facts.origins.environment('https_proxy')?.value;
  const hosts = (facts.origins.environment('NO_PROXY')?.value || facts.origins.environment('no_proxy')?.value || '')
    .split(/[\s,;]+/)
    .filter((host) => host !== '')
    .map((host) => (isIPv6(host) ? `[${host}]` : host).toLowerCase());
  return {
    proxy: address ? maskedProxy(parseProxy(address, 'HTTPS_PROXY', facts), facts) : undefined,
    bypass: { hosts },
  };
}

function parseProxy(address: string, setting: string, { mask, guard }: NetworkFacts): HttpProxy {
  const text = address.trim();
  const withScheme = tryUrl(text.includes('://') ? text : `http://${text}`);
  if (!withScheme || !/^https?:$/.test(withScheme.protocol) || withScheme.hostname === '') {
    throw new Failure('ET_PROXY_SETTING', `${setting} is not the address of a proxy.`);
  }
  const password = decode(withScheme.password);
  hide([password, withScheme.password], { mask, guard });
  return {
    url: withScheme.origin,
    username: decode(withScheme.username) || undefined,
    password: password ? Secret.maskedByAgent(password) : undefined,
  };
}

/** Masks the credentials for a proxy, in the form of the header too: Node itself prints that if NODE_DEBUG says so. */
function maskedProxy(proxy: HttpProxy, { mask, guard }: NetworkFacts): HttpProxy {
  const { username = '', password } = proxy;
  if (password !== undefined) {
    const plain = password.reveal();
    const pairs = [`${username}:${plain}`, `${encodeURIComponent(username)}:${encodeURIComponent(plain)}`];
    hide([plain, encodeURIComponent(plain), ...pairs, ...pairs.map(base64)], { mask, guard });
  }
  return proxy;
}

/** Ordinary words of logs. A password like these protects nothing, and a mask of it would hide them everywhere. */
const WORDS: ReadonlySet<string> = new Set(['undefined', 'null', 'none', 'true', 'false', 'password', 'proxy']);

/** A mask of a shorter text would hide parts of ordinary words. */
const SHORTEST_MASK = 4;

function hide(texts: readonly string[], { mask, guard }: Pick<NetworkFacts, 'mask' | 'guard'>): void {
  for (const text of new Set(texts)) {
    if (text.length >= SHORTEST_MASK && !WORDS.has(text.toLowerCase()) && !/[\r\n]/.test(text)) {
      mask(text);
      guard(text);
    }
  }
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The proxy for a request to this address, or undefined for a direct connection. */
export function proxyFor(network: Pick<Network, 'proxy' | 'bypass'>, url: URL): HttpProxy | undefined {
  return network.proxy !== undefined && !bypasses(network.bypass, url) ? network.proxy : undefined;
}

/**
 * The agent matches its expressions with the scheme, host and port of an address, without regard to case; the bare
 * host is matched as well, because `no_proxy` reaches the same list as bare hosts.
 */
function bypasses(bypass: Bypass, url: URL): boolean {
  const host = url.hostname.toLowerCase().replace(/\.$/, '');
  const port = url.port || '443';
  if ('patterns' in bypass) {
    const forms = [host, url.origin, `${url.origin}/`];
    return bypass.patterns.some((pattern) => forms.some((form) => new RegExp(pattern, 'i').test(form)));
  }
  return bypass.hosts.some((entry) => {
    const [name = '', entryPort] = entry.split(/:(?=\d+$)/);
    if (entryPort !== undefined && entryPort !== port) {
      return false;
    }
    const suffix = name.replace(/^\*?\.?/, '').replace(/\.$/, '');
    return name === '*' || host === suffix || (suffix !== '' && host.endsWith(`.${suffix}`));
  });
}
