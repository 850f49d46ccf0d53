import { type Mask, Secret } from './secret.ts';

/** What the task reads of an ID token. The signature is Entra's to check; these claims only inform and decide when to renew. */
export interface IdToken {
  readonly token: Secret;
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
  /** Milliseconds since 1970, from the claim `exp`. */
  readonly expiresAt: number;
  /** Milliseconds since 1970, from the claim `iat`, where the token has one. */
  readonly issuedAt: number | undefined;
}

const SHAPE = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

/**
 * Reads a JWT and masks it first. Gives undefined for anything that is no JWT with an issuer, a subject, an audience
 * and an expiry; what stands there instead is masked as well where it could be a secret of another kind.
 */
export function readIdToken(text: string, mask: Mask): IdToken | undefined {
  if (!SHAPE.test(text)) {
    return undefined;
  }
  const token = Secret.masked(text, mask);
  const claims = payload(text);
  if (claims === undefined) {
    return undefined;
  }
  const audiences = typeof claims['aud'] === 'string' ? [claims['aud']] : claims['aud'];
  const { iss, sub, exp, iat } = claims;
  if (
    typeof iss !== 'string' ||
    typeof sub !== 'string' ||
    typeof exp !== 'number' ||
    !Number.isFinite(exp) ||
    !Array.isArray(audiences)
  ) {
    return undefined;
  }
  return {
    token,
    issuer: iss,
    subject: sub,
    audiences: audiences.filter((audience): audience is string => typeof audience === 'string'),
    expiresAt: exp * 1000,
    issuedAt: typeof iat === 'number' && Number.isFinite(iat) ? iat * 1000 : undefined,
  };
}

function payload(jwt: string): Record<string, unknown> | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return isRecord(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}

/** True for a JSON object; false for null, an array and everything else. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
