/** A resource for which tokens are issued, and the names that tools use for it, its own among them. */
export interface Offer {
  /** What the step asks Entra for; ends in `/.default`. */
  readonly scope: string;
  readonly names: readonly string[];
}

/** The scope that is requested for a tool, and the step's own scope of the same resource. */
export interface Found {
  readonly scope: string;
  readonly ownScope: string;
}

/**
 * Finds the resource that a tool means; undefined for one that is not offered. Scheme and host are compared without
 * regard to case, and `/.default` and a slash at the end do not count. But the slash is sent to Entra, which uses
 * everything before the last `/.default` as the audience: with and without a slash are two audiences, and a tool gets
 * the one that it asks for.
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

/** True for two names of one resource that differ only in ignored parts. */
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
