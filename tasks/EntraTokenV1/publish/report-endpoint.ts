import type { Agent } from '../agent/agent.ts';
import type { Job } from '../agent/job.ts';
import { ADDRESS } from '../endpoint/address.ts';
import type { Origins } from '../origins/origins.ts';
import type { Endpoint } from './later-steps.ts';
import { type Place, placeOf } from './place.ts';

/** Prints the address of the endpoint, and the YAML by which a later step uses it. */
export function reportEndpoint(endpoint: Endpoint, job: Job, agent: Pick<Agent, 'log' | 'origins'>): void {
  const { log } = agent;
  const output = (name: string): string => `$(${job.stepName || '<step name>'}.${name})`;
  const { accessTokens, idTokens } = endpoint;
  const [address = ''] = (accessTokens ?? idTokens)?.url.split(/\/(?=[^/]*$)/) ?? [];
  log(`Endpoint      ${address}, until the job ends`);
  const reach = whoReaches[placeOf(job, agent.origins)];
  if (reach !== undefined) {
    log(`              ${reach}`);
  }
  log('To use it, map it into a later step:');
  log('    env:');
  if (accessTokens !== undefined) {
    log(`      IDENTITY_ENDPOINT: ${output('identityEndpoint')}`);
    log(`      IDENTITY_HEADER: ${output('identityHeader')}`);
  }
  if (idTokens !== undefined) {
    log(`      ARM_OIDC_REQUEST_URL: ${output('idTokenRequestUrl')}`);
    log(`      ARM_OIDC_REQUEST_TOKEN: ${output('idTokenRequestToken')}`);
  }
  const bypass = noProxy(agent.origins);
  if (bypass !== undefined) {
    log(`      NO_PROXY: ${bypass}`);
  }
  if (job.stepName === '') {
    log('  (the step needs a name: for that)');
  }
}

/** A container has a loopback interface of its own. */
const whoReaches: Readonly<Record<Place, string | undefined>> = {
  'in a container': '(steps of this container reach it; steps with another target do not)',
  'beside containers': '(steps with target: host reach it; steps in a container do not)',
  'without containers': undefined,
};

/**
 * What NO_PROXY has to be, so that tools do not send the request with its secret to the proxy of the environment;
 * undefined where none would. Most tools compare letter by letter.
 */
function noProxy({ proxyOfLoopback, environment }: Origins): string | undefined {
  if (proxyOfLoopback === undefined) {
    return undefined;
  }
  const hosts = (environment('NO_PROXY') ?? environment('no_proxy'))?.value.split(/[\s,;]+/) ?? [];
  return [ADDRESS, ...hosts.filter((host) => host !== '' && host !== ADDRESS)].join(',');
}
