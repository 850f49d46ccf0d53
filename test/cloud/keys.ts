import { generateKeyPair, type KeyObject, randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { exportJWK, type JWK, type JWTPayload, jwtVerify, SignJWT } from 'jose';

/** Who signs a token. `stranger` is a key that no service knows. */
export type Signer = 'devops' | 'entra' | 'kubernetes' | 'stranger';

interface SigningKey {
  kid: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

const generate = promisify(generateKeyPair);
const made = new Map<Signer, Promise<SigningKey>>();

/** The key of a signer. RSA keys take long to make, so each is made once for a process, when it is first needed. */
export function signingKey(signer: Signer): Promise<SigningKey> {
  let key = made.get(signer);
  if (key === undefined) {
    key = generate('rsa', { modulusLength: 2048 }).then((pair) => ({ kid: kid(), ...pair }));
    made.set(signer, key);
  }
  return key;
}

/** Signs claims as a JWT (RS256) with the header that the real issuers send. */
export async function signJwt(signer: Signer, claims: Record<string, unknown>): Promise<string> {
  const key = await signingKey(signer);
  const header =
    signer === 'kubernetes' ? { alg: 'RS256', kid: key.kid } : { typ: 'JWT', alg: 'RS256', x5t: key.kid, kid: key.kid };
  return new SignJWT(claims).setProtectedHeader(header).sign(key.privateKey);
}

/** The claims of a token that the signer signed. The times are not judged here. Throws what `jose` throws. */
export async function verifyJwt(signer: Signer, token: string): Promise<JWTPayload> {
  const key = await signingKey(signer);
  const { payload } = await jwtVerify(token, key.publicKey, {
    algorithms: ['RS256'],
    // Each service judges the times by its own clock, and gives its own error for them.
    currentDate: new Date(0),
    clockTolerance: Number.MAX_SAFE_INTEGER,
  });
  return payload;
}

/** The public key as a JSON Web Key Set lists it. */
export async function publicJwk(signer: Signer): Promise<JWK> {
  const key = await signingKey(signer);
  return { ...(await exportJWK(key.publicKey)), use: 'sig', kid: key.kid, x5t: key.kid };
}

const kid = (): string => Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url');
