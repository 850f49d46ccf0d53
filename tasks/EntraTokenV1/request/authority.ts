import { Failure } from '../failure/failure.ts';
import { printable } from '../text/text.ts';
import { tryUrl } from '../text/url.ts';

/**
 * Reads the address of an Entra authority down to its origin. A path is not part of it (the tenant follows), but
 * `/adfs` is recognised. Throws ET_NOT_HTTPS, ET_ADFS, or ET_INPUT for text that is no address.
 * @param where what the address stands in, for the message
 */
export function readAuthority(text: string, where: string): string {
  const url = tryUrl(text);
  if (
    url === undefined ||
    url.hostname === '' ||
    `${url.username}${url.password}` !== '' ||
    url.search !== '' ||
    url.hash !== ''
  ) {
    throw new Failure(
      'ET_INPUT',
      `The authority in ${where}, '${printable(text, 100)}', is not an address such as https://login.microsoftonline.com/.`,
    );
  }
  if (url.protocol !== 'https:') {
    throw new Failure(
      'ET_NOT_HTTPS',
      `The authority in ${where}, '${printable(text, 100)}', does not begin with https://.`,
    );
  }
  if (/^\/adfs(?:\/|$)/i.test(url.pathname)) {
    throw new Failure('ET_ADFS', `The authority in ${where}, '${printable(text, 100)}', is an AD FS server.`);
  }
  return url.origin;
}

/** The tenant in the path of an authority, `https://host/<tenant>/…`; undefined where it has no path. */
export function tenantInAuthority(text: string): string | undefined {
  return tryUrl(text)
    ?.pathname.split('/')
    .find((segment) => segment !== '');
}
