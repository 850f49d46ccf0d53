import {
  type Application,
  chinaApplication,
  devOpsIdentity,
  type FederatedCredential,
  multitenant,
  production,
  usGovApplication,
} from './directory.ts';
import { tokenExchangeAudience } from './national-clouds.ts';
import { type Federation, federations, pipelineFederation } from './organization.ts';

/** The credentials that make every connection, the pipeline itself and the Kubernetes service account work. */
export function federatedCredentials(kubernetes: { issuer: string; subject: string }): FederatedCredential[] {
  const trust = ({ tenantId, clientId }: Application, federation: Federation): FederatedCredential => ({
    tenantId,
    clientId,
    ...federation,
  });
  return [
    trust(production, federations.prod),
    trust(production, federations.prodVstoken),
    trust(production, federations.managementGroup),
    trust(production, federations.minimal),
    trust(production, federations.disabled),
    trust(production, pipelineFederation),
    trust(production, { ...kubernetes, audience: tokenExchangeAudience.public }),
    trust(devOpsIdentity, federations.azureDevOps),
    trust(devOpsIdentity, federations.marketplace),
    trust(devOpsIdentity, { ...kubernetes, audience: tokenExchangeAudience.public }),
    trust(multitenant, federations.multitenant),
    trust(usGovApplication, federations.usGov),
    trust(usGovApplication, { ...kubernetes, audience: tokenExchangeAudience.usGov }),
    trust(chinaApplication, federations.china),
    trust(chinaApplication, { ...kubernetes, audience: tokenExchangeAudience.china }),
  ];
}
