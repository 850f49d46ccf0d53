import assert from 'node:assert/strict';
import { request } from 'node:http';
import type { JobOptions, JobResult } from '../agent/job.ts';
import type { Cloud } from '../cloud/cloud.ts';
import { holdJob, useJob } from '../later-steps/held-job.ts';

/** A job whose first step serves tokens, held while a test asks for them. */
export interface ServedJob {
  readonly lookupId: string;
  readonly tokenFile: string;
  readonly port: number;
  readonly identityEndpoint: string;
  readonly identityHeader: string;
  readonly idTokenRequestUrl: string;
  readonly idTokenRequestToken: string;
  release(): Promise<JobResult>;
}

/** A step with a token endpoint under the name `entra`; further inputs a line each. */
export const servingStep = (...inputs: string[]): string =>
  [
    '- task: EntraToken@1',
    '  name: entra',
    '  inputs:',
    ...['azureSubscription: prod', 'tokenEndpoint: accessTokens, idTokens', ...inputs].map((line) => `    ${line}`),
    '',
  ].join('\n');

/** Holds a job with a token endpoint, whose outputs the waiting step has mapped. */
export async function serveJob(
  cloud: Cloud,
  step: string = servingStep(),
  options: Partial<JobOptions> = {},
): Promise<ServedJob> {
  const job = await holdJob(cloud, step, options, {
    HEADER: '$(entra.identityHeader)',
    TOKEN: '$(entra.idTokenRequestToken)',
  });
  const value = (name: string): string => job.environment[name] ?? '';
  const identityEndpoint = value('ENTRA_IDENTITYENDPOINT');
  const idTokenRequestUrl = value('ENTRA_IDTOKENREQUESTURL');
  if (identityEndpoint === '' && idTokenRequestUrl === '') {
    throw new Error(`nothing is served:\n${(await job.release()).log.join('\n')}`);
  }
  return {
    lookupId: job.lookupId,
    tokenFile: job.tokenFile,
    port: Number(new URL(identityEndpoint || idTokenRequestUrl).port),
    identityEndpoint,
    identityHeader: value('HEADER'),
    idTokenRequestUrl,
    idTokenRequestToken: value('TOKEN'),
    release: job.release,
  };
}

/** Uses an endpoint while its job is held, and gives the result of the job; in the end nothing may be left of it. */
export async function withEndpoint(
  cloud: Cloud,
  step: string,
  use: (job: ServedJob) => Promise<void>,
  options: Partial<JobOptions> = {},
): Promise<JobResult> {
  const job = await serveJob(cloud, step, options);
  const result = await useJob(job, use);
  await assert.rejects(get(`http://127.0.0.1:${job.port}/token`), 'nothing listens any more');
  return result;
}

/** What an endpoint answered. */
export interface Got {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly body: Readonly<Record<string, string | number | undefined>>;
}

/** Asks an address with Node's own client, which adds nothing of itself but Host and Connection. */
export function get(url: string, headers: Record<string, string | string[]> = {}, method = 'GET'): Promise<Got> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { method, headers, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (piece: string) => {
        text += piece;
      });
      response.on('error', reject);
      response.on('end', () => {
        const body: Got['body'] = text === '' ? {} : JSON.parse(text);
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
      });
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** Asks for an access token as the Azure SDKs do; parameters that are undefined are left out. */
export function askAccessToken(
  job: Pick<ServedJob, 'identityEndpoint' | 'identityHeader'>,
  resource = 'https://management.azure.com',
  more: Record<string, string> = {},
): Promise<Got> {
  const query = new URLSearchParams({ 'api-version': '2019-08-01', resource, ...more });
  return get(`${job.identityEndpoint}?${query}`, { 'X-IDENTITY-HEADER': job.identityHeader });
}

/** Asks for an ID token as Terraform does. */
export function askIdToken(job: ServedJob, audience = 'api://AzureADTokenExchange'): Promise<Got> {
  const url = `${job.idTokenRequestUrl}&audience=${encodeURIComponent(audience)}`;
  return get(url, { Authorization: `Bearer ${job.idTokenRequestToken}` });
}

/** The claims of a token; nothing here checks its signature. */
export function claimsOf(token: string | number | undefined): Record<string, unknown> {
  return JSON.parse(Buffer.from(String(token).split('.')[1] ?? '', 'base64url').toString('utf8'));
}
