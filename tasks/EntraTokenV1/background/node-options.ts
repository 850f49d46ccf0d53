/** Node's options that decide whom a connection trusts and how it is secured (Node: cli). */
const TLS_OPTIONS = [
  '--use-openssl-ca',
  '--use-bundled-ca',
  '--use-system-ca',
  '--tls-min-v1.0',
  '--tls-min-v1.1',
  '--tls-min-v1.2',
  '--tls-min-v1.3',
  '--tls-max-v1.2',
  '--tls-max-v1.3',
  '--openssl-legacy-provider',
  '--openssl-shared-config',
  '--enable-fips',
  '--force-fips',
];

/** The same, of options with a value. */
const TLS_OPTIONS_WITH_VALUE = ['--tls-cipher-list', '--openssl-config'];

/** The options for TLS in `NODE_OPTIONS`, as arguments for another Node. The background process gets no others. */
export function tlsOptions(nodeOptions: string | undefined): string[] {
  const found: string[] = [];
  const words = split(nodeOptions ?? '');
  for (const [index, word] of words.entries()) {
    const [written = '', ...rest] = word.split('=');
    const name = written.replaceAll('_', '-');
    if (TLS_OPTIONS.includes(name) && rest.length === 0) {
      found.push(name);
    }
    if (TLS_OPTIONS_WITH_VALUE.includes(name)) {
      found.push(`${name}=${rest.length > 0 ? rest.join('=') : (words[index + 1] ?? '')}`);
    }
  }
  return found;
}

/** Splits at blanks but not within quotes, where a backslash takes the next character as it stands (Node: node_options.cc). */
function split(text: string): string[] {
  return [...text.matchAll(/(?:"(?:\\.|[^"\\])*"|[^ "])+/g)].map(([word]) =>
    word.replace(/"((?:\\.|[^"\\])*)"/g, (_, quoted: string) => quoted.replace(/\\(.)/g, '$1')),
  );
}
