import type { Application, Directory, Tenant } from './directory.ts';
import { invalidRequest, Refusal } from './entra-refusal.ts';
import type { CloudName } from './national-clouds.ts';

export const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The tenant of that ID or domain. Throws the refusal, as the two below do. */
export function findTenant(directory: Directory, cloud: CloudName, name: string): Tenant {
  if (!guid.test(name) && !name.includes('.')) {
    throw invalidRequest(
      900023,
      `Specified tenant identifier '${name}' is neither a valid DNS name, nor a valid external domain.`,
    );
  }
  const wanted = name.toLowerCase();
  const found = directory.tenants.find((t) => t.cloud === cloud && [t.id, t.domain].includes(wanted));
  if (found) return found;
  throw invalidRequest(
    90002,
    `Tenant '${name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct ` +
      'cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for ' +
      'the tenant.',
  );
}

export function findApplication(directory: Directory, tenant: Tenant, clientId: string): Application {
  const wanted = clientId.toLowerCase();
  const found = directory.applications.find(
    (a) => a.clientId === wanted && (a.tenantId === tenant.id || a.otherTenants?.includes(tenant.id)),
  );
  if (found) return found;
  throw new Refusal(
    700016,
    `Application with identifier '${clientId}' was not found in the directory '${tenant.domain}'. This can happen if ` +
      'the application has not been installed by the administrator of the tenant or consented to by any user in the ' +
      'tenant. You may have sent your authentication request to the wrong tenant.',
    'unauthorized_client',
    400,
  );
}

export function requireResource(directory: Directory, cloud: CloudName, tenant: Tenant, resource: string): void {
  const bare = resource.replace(/\/$/, '').toLowerCase();
  const found = directory.resources.some(
    (r) => r.cloud === cloud && r.resource.toLowerCase() === bare && (r.tenants?.includes(tenant.id) ?? true),
  );
  if (found) return;
  throw new Refusal(
    500011,
    `The resource principal named ${resource} was not found in the tenant named ${tenant.domain}. This can happen if ` +
      'the application has not been installed by the administrator of the tenant or consented to by any user in the ' +
      'tenant. You might have sent your authentication request to the wrong tenant.',
    'invalid_resource',
    400,
  );
}
