/** A resource that tokens are given for, and the names under which tools ask for it, its own among them. */
export interface Offer {
  /** What the step asks Entra for; ends in `/.default`. */
  readonly scope: string;
  readonly names: readonly string[];
}

/** What Entra is asked for on behalf of a tool, and the step's own scope of the same resource. */
export interface Found {
  readonly scope: string;
  readonly ownScope: string;
}

/**
 * Finds the resource that a tool means; undefined for one that is not offered. Scheme and host are compared without
 * regard to case, and `/.default` and a slash at the end do not count. But a slash is passed on to Entra, which takes
 * everything before the last `/.default` as the audience: that with a slash is another one than that without, and a tool
 * gets the one it asks for.
 */
export function findOffer(resource: string, offers: readonly Offer[]): Found | undefined {
  const asked = resource.trim().replace(/\/\.default$/i, '');
  for (const { scope, names } of offers) {
    const name = names.find((candidate) => sameResource(candidate, asked));
    if (name !== undefined) {
      const slash = asked.endsWith('/') && name.includes('://') ? '/' : '';
      return { scope: `${withoutSlash(name)}${slash}/.default`, ownScope: scope };
    }
  }
  return undefined;
}

/** True for two names of one resource that differ only in what does not count. */
export function sameResource(one: string, other: string): boolean {
  return comparable(one) === comparable(other);
}

function comparable(name: string): string {
  const bare = withoutSlash(name);
  const [, origin, path = ''] = /^([a-z][a-z0-9+.-]*:\/\/[^/?#]*)(.*)$/is.exec(bare) ?? [];
  return origin === undefined ? bare.toLowerCase() : `${origin.toLowerCase()}${path}`;
}

function withoutSlash(name: string): string {
  return name.replace(/\/$/, '');
}
