import { Failure } from '../failure/failure.ts';
import { printable } from '../text/text.ts';
import type { Identity } from './identity.ts';
import { type CredentialSource, type Fault, type InputName, type Inputs, writtenAs } from './inputs.ts';

/** Names every input that belongs to another source than the chosen one. */
export function checkFit(inputs: Inputs, source: CredentialSource, faults: Fault[]): void {
  const onlyFor = (name: InputName, isSet: boolean, sources: readonly CredentialSource[]): void => {
    if (isSet && !sources.includes(source)) {
      faults.push(`${writtenAs(name)} does not fit credentialSource ${source}; it is for ${sources.join(' and ')}.`);
    }
  };
  onlyFor('connectedServiceNameARM', inputs.connectedServiceNameARM !== '', ['azureRM']);
  onlyFor('azureDevOpsServiceConnection', inputs.azureDevOpsServiceConnection !== '', ['azureDevOps']);
  if (inputs.exportEnvironment.has('azurePipelines') && (source === 'pipeline' || source === 'kubernetes')) {
    faults.push(
      `exportEnvironment azurePipelines needs a service connection, which credentialSource ${source} has not.`,
    );
  }
  if (inputs.tokenFilePath !== '' && source !== 'kubernetes' && !inputs.kubernetesFallback) {
    faults.push(`tokenFilePath does not fit credentialSource ${source} while kubernetesFallback is false.`);
  }
}

/** Names every input that the chosen source cannot do without. */
export function checkRequired(inputs: Inputs, source: CredentialSource, faults: Fault[]): void {
  if (source === 'azureRM' && inputs.connectedServiceNameARM === '') {
    faults.push('azureSubscription is missing; credentialSource azureRM needs the service connection.');
  }
  if (source === 'azureDevOps' && inputs.azureDevOpsServiceConnection === '') {
    faults.push('azureDevOpsServiceConnection is missing; credentialSource azureDevOps needs the service connection.');
  }
  for (const name of ['tenantId', 'clientId'] as const) {
    if (source === 'pipeline' && inputs[name] === '') {
      faults.push(`${name} is missing; credentialSource pipeline has no connection that could name it.`);
    }
  }
}

/** Names for many tenants, and the tenant of personal accounts: none of them issues a token to an application. */
const NO_TENANT = ['common', 'organizations', 'consumers', '9188040d-6c67-4c5b-b112-36a304b66dad'];

function isNoTenant(tenantId: string): boolean {
  return NO_TENANT.includes(tenantId.toLowerCase());
}

/** Adds a fault if the tenant is not valid, or is not the one that the authority names. */
export function checkAuthority(identity: Identity, inputs: Inputs, faults: Fault[]): void {
  const { tenantId, authority } = identity;
  const { authorityTenant } = inputs;
  if (isNoTenant(tenantId)) {
    const where = inputs.tenantId === '' ? 'the tenant of the identity' : 'tenantId';
    faults.push(
      `${where} is '${tenantId}', which stands for no tenant of its own; an application gets tokens in one tenant. ` +
        'Write its ID, or its domain name.',
    );
  }
  if (authorityTenant !== undefined && authorityTenant.toLowerCase() !== tenantId.toLowerCase()) {
    faults.push(
      `authorityHost names the tenant '${printable(authorityTenant, 80)}', but the tenant of the step is ${tenantId}. ` +
        `Write the host alone, ${authority}/, and another tenant as tenantId.`,
    );
  }
}

/** Adds a fault where `tenantId` names a tenant that the identity is not of and the step does not allow. */
export function checkTenant(identity: Identity | undefined, inputs: Inputs, faults: Fault[]): void {
  const { tenantId = '', ownTenantId } = identity ?? {};
  const { additionallyAllowedTenants: allowed } = inputs;
  const isAllowed = (tenant: string): boolean => tenant === '*' || tenant.toLowerCase() === tenantId.toLowerCase();
  if (isNoTenant(tenantId)) {
    return;
  }
  if (ownTenantId === undefined || ownTenantId.toLowerCase() === tenantId.toLowerCase() || allowed.some(isAllowed)) {
    return;
  }
  faults.push(
    new Failure(
      'ET_TENANT_NOT_ALLOWED',
      `tenantId is ${tenantId}, but the service connection belongs to the tenant ${ownTenantId}.`,
      `Write additionallyAllowedTenants: ${tenantId} (or *) on the step, or leave tenantId out.`,
    ),
  );
}
