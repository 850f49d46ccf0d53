/** The two kinds of tokens that the endpoint serves, each with a secret of its own. */
export type Kind = 'accessTokens' | 'idTokens';

/** An IP address, not a name: a name can resolve to another interface, and NO_PROXY is compared as text. */
export const ADDRESS = '127.0.0.1';

/** The path of each kind. */
export const paths: Readonly<Record<Kind, string>> = { accessTokens: '/token', idTokens: '/id-token' };
