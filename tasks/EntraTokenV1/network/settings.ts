import { readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { Failure } from '../failure/failure.ts';
import type { Origins } from '../origins/origins.ts';
import { Secret } from '../text/secret.ts';

/** A proxy and who we are to it. */
export interface HttpProxy {
  readonly url: string;
  readonly username: string | undefined;
  readonly password: Secret | undefined;
}

/** Which hosts are reached without the proxy: the agent's own regular expressions, or the hosts of NO_PROXY. */
export type Bypass = { readonly patterns: readonly string[] } | { readonly hosts: readonly string[] };

/** How the machine reaches both services. Plain data, so that the background process can be given the same. */
export interface Network {
  readonly proxy: HttpProxy | undefined;
  readonly bypass: Bypass;
  /** PEM text of authorities that are trusted besides the system's. */
  readonly authorities: string | undefined;
  /** The file of NODE_EXTRA_CA_CERTS, which Node itself counts among the system's. */
  readonly extraAuthoritiesFile: string | undefined;
  readonly clientCertificate: ClientCertificate | undefined;
  readonly skipCertificateValidation: boolean;
}

export interface ClientCertificate {
  readonly certificate: string;
  readonly key: Secret;
  readonly passphrase: Secret | undefined;
}

/** Where the settings come from: the agent's variables, and the environment that the agent was started in. */
export interface NetworkFacts {
  variable(name: string): string | undefined;
  /** A variable whose value is masked and never printed. */
  secretVariable(name: string): string | undefined;
  readonly origins: Pick<Origins, 'environment'>;
  /** Has the agent hide a text from here on. */
  mask(text: string): void;
  /** Keeps a secret out of everything that the task prints, in pieces too. */
  guard(secret: string): void;
}

/**
 * Reads the agent's network settings; where the agent names no proxy, HTTPS_PROXY and NO_PROXY in both spellings
 * (the agent itself sets neither). Throws a Failure for a proxy address or a file that cannot be used.
 */
export function readNetwork(facts: NetworkFacts): Network {
  return {
    ...(readAgentProxy(facts) ?? readEnvironmentProxy(facts)),
    authorities: readAuthorities(facts.variable('Agent.CAInfo')),
    extraAuthoritiesFile: facts.origins.environment('NODE_EXTRA_CA_CERTS')?.value,
    clientCertificate: readClientCertificate(facts),
    skipCertificateValidation: facts.variable('Agent.SkipCertValidation')?.toLowerCase() === 'true',
  };
}

function readAgentProxy(facts: NetworkFacts): Pick<Network, 'proxy' | 'bypass'> | undefined {
  const address = facts.variable('Agent.ProxyUrl');
  if (!address) {
    return undefined;
  }
  const password = facts.secretVariable('Agent.ProxyPassword');
  const proxy = parseProxy(address, 'Agent.ProxyUrl', facts);
  return {
    proxy: {
      url: proxy.url,
      username: facts.variable('Agent.ProxyUsername') || proxy.username,
      password: password ? Secret.maskedByAgent(password) : proxy.password,
    },
    bypass: { patterns: readPatterns(facts.variable('Agent.ProxyBypassList')) },
  };
}

/** The list is a JSON array of regular expressions (agent: VstsAgentWebProxy); a part that is none is passed over. */
function readPatterns(json: string | undefined): string[] {
  try {
    const list: unknown = JSON.parse(json || '[]');
    return Array.isArray(list)
      ? list.filter((item): item is string => typeof item === 'string' && isPattern(item))
      : [];
  } catch {
    return [];
  }
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return text !== '';
  } catch {
    return false;
  }
}

function readEnvironmentProxy(facts: NetworkFacts): Pick<Network, 'proxy' | 'bypass'> {
  const address = facts.origins.environment('HTTPS_PROXY')?.value || facts.origins.environment('https_proxy')?.value;
  const hosts = (facts.origins.environment('NO_PROXY')?.value || facts.origins.environment('no_proxy')?.value || '')
    .split(/[\s,;]+/)
    .map((host) => (isIPv6(host) ? `[${host}]` : host).toLowerCase())
    .filter((host) => host !== '');
  return { proxy: address ? parseProxy(address, 'HTTPS_PROXY', facts) : undefined, bypass: { hosts } };
}

function parseProxy(address: string, setting: string, { mask, guard }: NetworkFacts): HttpProxy {
  const text = address.trim();
  const withScheme = tryUrl(text.includes('://') ? text : `http://${text}`);
  if (!withScheme || !/^https?:$/.test(withScheme.protocol) || withScheme.hostname === '') {
    throw new Failure('ET_PROXY_SETTING', `${setting} is no address of a proxy.`);
  }
  const password = decode(withScheme.password);
  for (const form of new Set([password, withScheme.password])) {
    if (form !== '' && !/[\r\n]/.test(form)) {
      mask(form);
      guard(form);
    }
  }
  return {
    url: withScheme.origin,
    username: decode(withScheme.username) || undefined,
    password: password ? Secret.maskedByAgent(password) : undefined,
  };
}

function tryUrl(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function readAuthorities(file: string | undefined): string | undefined {
  const pem = readPem(file, 'authorities (Agent.CAInfo)');
  if (pem !== undefined && !pem.includes('-----BEGIN')) {
    throw new Failure(
      'ET_CERTIFICATE_FILE',
      'The file of the agent’s authorities (Agent.CAInfo) holds no certificate.',
    );
  }
  return pem;
}

function readPem(file: string | undefined, what: string): string | undefined {
  if (!file) {
    return undefined;
  }
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new Failure('ET_CERTIFICATE_FILE', `The file of the agent’s ${what} cannot be read.`);
  }
}

function readClientCertificate(facts: NetworkFacts): ClientCertificate | undefined {
  const certificate = readPem(facts.variable('Agent.ClientCert'), 'client certificate (Agent.ClientCert)');
  const key = readPem(facts.variable('Agent.ClientCertKey'), 'client certificate’s key (Agent.ClientCertKey)');
  if (certificate === undefined || key === undefined) {
    return undefined;
  }
  const passphrase = facts.secretVariable('Agent.ClientCertPassword');
  return {
    certificate,
    key: Secret.maskedByAgent(key),
    passphrase: passphrase ? Secret.maskedByAgent(passphrase) : undefined,
  };
}

/** The proxy for a request to this address, or undefined where it goes straight. */
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
