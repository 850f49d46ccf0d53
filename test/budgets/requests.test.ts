import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { presetNames } from '../../tasks/EntraTokenV1/request/clouds.ts';
import type { ServiceConnection } from '../agent/job.ts';
import { runJob } from '../agent/job.ts';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { rehearsalOptions } from '../rehearsal.ts';

let cloud: Cloud;
before(async () => {
  cloud = await startCloud();
});
after(() => cloud.close());

interface Budget {
  readonly what: string;
  readonly inputs: Readonly<Record<string, string>>;
  /** The ID token comes with the connection. */
  readonly lateBound?: boolean;
  readonly devOps: number;
  readonly entra: number;
}

const budgets: readonly Budget[] = [
  { what: 'one token', inputs: {}, devOps: 1, entra: 1 },
  { what: 'three tokens', inputs: { scopes: 'arm\ng = graph\nk = keyVault' }, devOps: 1, entra: 3 },
  {
    what: 'ten tokens',
    inputs: {
      scopes: presetNames
        .slice(0, 10)
        .map((preset, line) => (line === 0 ? preset : `${preset} = ${preset}`))
        .join('\n'),
    },
    devOps: 1,
    entra: 10,
  },
  { what: 'one token with a late-bound ID token', inputs: {}, lateBound: true, devOps: 0, entra: 1 },
  { what: 'one token and the ID token as an output', inputs: { exportIdToken: 'true' }, devOps: 1, entra: 1 },
  {
    what: 'one token and a token file that is kept fresh',
    inputs: { exportEnvironment: 'workloadIdentity' },
    devOps: 1,
    entra: 1,
  },
  { what: 'a scope that cannot be', inputs: { scopes: 'no such thing' }, devOps: 0, entra: 0 },
];

describe('a step asks each service no more often than it must', () => {
  for (const { what, inputs, lateBound, devOps, entra } of budgets) {
    it(`${what}: ${devOps} to Azure DevOps, ${entra} to Entra`, async () => {
      const connection: ServiceConnection = {
        ...cloud.connections.azureRM,
        parameters: {
          ...cloud.connections.azureRM.parameters,
          ...(lateBound ? { idToken: await cloud.issueIdToken({ connection: 'prod' }) } : {}),
        },
      };
      cloud.requests = [];
      const step = { task: 'EntraToken@1', name: 'entra', inputs: { azureSubscription: 'prod', ...inputs } };
      const { result } = await runJob({
        ...rehearsalOptions(cloud),
        connections: [connection],
        pipeline: JSON.stringify({ steps: [step] }),
      });
      assert.equal(result, devOps + entra === 0 ? 'Failed' : 'Succeeded');
      const asked = { devOps: 0, entra: 0, other: 0 };
      for (const { service } of cloud.requests) {
        asked[service === 'devops' ? 'devOps' : service === 'entra' ? 'entra' : 'other']++;
      }
      assert.deepEqual(asked, { devOps, entra, other: 0 });
    });
  }
});
