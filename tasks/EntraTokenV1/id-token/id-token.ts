import { isRecord } from '../text/json.ts';
import { type Mask, Secret } from '../text/secret.ts';

/**
 * The claims of an ID token that the task reads. Entra checks the signature; the claims are only for the log, and
 * decide when to renew.
 */
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
 * Reads a JWT and masks it before anything of it can be printed. Returns undefined for anything but a JWT with an
 * issuer, a subject, an audience and an expiry; nothing of that is printed.
 */
export function readIdToken(text: string, mask: Mask): IdToken | undefined {
  if (!SHAPE.test(text)) {
    return undefined;
  }
  const claims = payload(text);
  if (claims === undefined) {
    return undefined;
  }
  const audiences = typeof claims['aud'] === 'string' ? [claims['aud']] : claims['aud'];
  const { iss, sub, exp, iat } = claims;
  if (typeof iss !== 'string' || typeof sub !== 'string' || !isInstant(exp) || !Array.isArray(audiences)) {
    return undefined;
  }
  return {
    token: Secret.masked(text, mask),
    issuer: iss,
    subject: sub,
    audiences: audiences.filter((audience): audience is string => typeof audience === 'string'),
    expiresAt: exp * 1000,
    issuedAt: isInstant(iat) ? iat * 1000 : undefined,
  };
}

/** The largest number of seconds since 1970 that a date can have. */
function isInstant(value: unknown): value is number {
  return typeof value === 'number' && value > 0 && value < 1e11;
}

function payload(jwt: string): Record<string, unknown> | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return isRecord(claims) ? claims : undefined;
  } catch {
    return undefined;
  }
}
