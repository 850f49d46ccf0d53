/** The two kinds of tokens that the endpoint serves, each with a secret of its own. */
export type Kind = 'accessTokens' | 'idTokens';

/** A number and no name: names can lead to another interface, and NO_PROXY is compared letter by letter. */
export const ADDRESS = '127.0.0.1';

/** The path of each kind. */
export const paths: Readonly<Record<Kind, string>> = { accessTokens: '/token', idTokens: '/id-token' };
