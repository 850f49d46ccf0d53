import { decodeJwt } from 'jose';
import type { Directory } from './directory.ts';
import { verifyJwt } from './keys.ts';
import { type Answer, type Handler, json } from './server.ts';

/** Seconds. Short enough for the clients' own margins to make them ask again soon. */
const LIFETIME = 240;

/** The token services of AWS and Google Cloud, for a role and a pool that trust the issuers that Entra trusts. */
export function otherClouds(directory: Pick<Directory, 'issuers' | 'now'>): Handler {
  const subjectOf = async (token = ''): Promise<string | undefined> => {
    try {
      const claims = decodeJwt(token);
      const signer = directory.issuers[claims.iss ?? ''];
      if (signer === undefined || (claims.exp ?? 0) * 1000 <= directory.now()) return undefined;
      await verifyJwt(signer, token);
      return claims.sub;
    } catch {
      return undefined;
    }
  };
  return async ({ host, form = {}, method }) => {
    if (method !== 'POST') return { status: 404, headers: {}, body: '' };
    const subject = await subjectOf(form['WebIdentityToken'] ?? form['subject_token']);
    return host.endsWith('.amazonaws.com') ? aws(form, subject, directory.now()) : google(subject);
  };
}

const account = '123456789012';

function aws({ Action: action = '' }: Record<string, string>, subject: string | undefined, now: number): Answer {
  const arn = `arn:aws:sts::${account}:assumed-role/deploy/pipeline`;
  if (action === 'GetCallerIdentity') {
    return xml(200, `<${action}Result><Arn>${arn}</Arn><Account>${account}</Account></${action}Result>`, action);
  }
  if (subject === undefined) {
    const error = '<Code>ExpiredTokenException</Code><Message>Token expired</Message>';
    return xml(400, `<Error><Type>Sender</Type>${error}</Error>`, 'Error');
  }
  const keys = '<AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>made-up</SecretAccessKey>';
  const expiration = new Date(now + LIFETIME * 1000).toISOString();
  return xml(
    200,
    `<${action}Result><Credentials>${keys}<SessionToken>made-up</SessionToken><Expiration>${expiration}</Expiration></Credentials><AssumedRoleUser><Arn>${arn}</Arn><AssumedRoleId>AROAEXAMPLE:pipeline</AssumedRoleId></AssumedRoleUser></${action}Result>`,
    action,
  );
}

function xml(status: number, inner: string, action: string): Answer {
  const body = `<${action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${inner}</${action}Response>`;
  return { status, headers: { 'content-type': 'text/xml' }, body };
}

function google(subject: string | undefined): Answer {
  if (subject === undefined) {
    return json(400, { error: 'invalid_grant', error_description: 'The ID Token issued is stale to sign-in.' });
  }
  return json(200, {
    access_token: 'made-up',
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: LIFETIME,
  });
}
