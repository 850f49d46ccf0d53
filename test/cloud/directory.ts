/**
 * What Entra knows in the local cloud: for each national cloud a directory with tenants and applications. Everything
 * here is plain data that a test may change while the cloud runs.
 */
import type { Signer } from './keys.ts';
import type { CloudName } from './national-clouds.ts';

export interface Tenant {
  id: string;
  domain: string;
  cloud: CloudName;
}

export interface Application {
  clientId: string;
  /** The tenant that the application and its federated credentials belong to. */
  tenantId: string;
  /** The object ID of its service principal. */
  objectId: string;
  /** Other tenants where a service principal of it exists; that makes it multitenant. */
  otherTenants?: string[];
}

export interface Resource {
  /** The identifier that a scope names, without a trailing slash. */
  resource: string;
  cloud: CloudName;
  /** Tenants that have it; default: all of its cloud. */
  tenants?: string[];
}

/** A federated identity credential: what an application trusts. */
export interface FederatedCredential {
  tenantId: string;
  clientId: string;
  issuer: string;
  subject: string;
  audience: string;
  /** Not yet seen by the token endpoint before this time, in milliseconds: just created. */
  visibleFrom?: number;
}

/** What Entra knows, shared by the listeners of all clouds. */
export interface Directory {
  tenants: Tenant[];
  applications: Application[];
  resources: Resource[];
  federatedCredentials: FederatedCredential[];
  /** What an identity binding of AKS allows: only the token proxy of a cluster asks with these. */
  identityBindings: FederatedCredential[];
  /** Whose key signs the tokens of an issuer. An issuer that is not here cannot be reached. */
  issuers: Record<string, Signer>;
  /** In seconds; without it 3600, and 86400 for a token with continuous access evaluation. */
  accessTokenLifetimeSeconds?: number;
  /** The services' clock, in milliseconds. */
  now(): number;
}

export const publicTenant: Tenant = {
  id: '8d3f5c1e-7a64-4b0f-9a51-2f6f0c7b4e19',
  domain: 'contoso.onmicrosoft.com',
  cloud: 'public',
};
export const partnerTenant: Tenant = {
  id: 'e1c7a2b4-0f3d-4c58-8b1e-5d9a6c3f7082',
  domain: 'fabrikam.onmicrosoft.com',
  cloud: 'public',
};
export const usGovTenant: Tenant = {
  id: '3b9e0d47-58f2-4d6a-b7c3-91f4e2a6d805',
  domain: 'contoso.onmicrosoft.us',
  cloud: 'usGov',
};
export const chinaTenant: Tenant = {
  id: '6f2a9c8e-1d75-4e3b-a0c4-7b8d5e9f1a36',
  domain: 'contoso.partner.onmschina.cn',
  cloud: 'china',
};

export const subscription = { id: '7c0d2e9f-4b1a-4d63-8e5c-f6a7b8c9d0e1', name: 'Contoso Production' };

export const entraIssuer = (tenantId: string): string => `https://login.microsoftonline.com/${tenantId}/v2.0`;

const app = (clientId: string, tenant: Tenant, objectId: string, otherTenants?: string[]): Application => ({
  clientId,
  tenantId: tenant.id,
  objectId,
  ...(otherTenants === undefined ? {} : { otherTenants }),
});

export const production = app(
  '0a7d4c52-93be-4f18-8c6e-d5b1f2e3a947',
  publicTenant,
  '51d0b9e7-2c8f-4a63-b9d4-8e7f6a5c4b30',
);
export const multitenant = app(
  'c94e7f16-5b2a-4d83-a1f9-0e6d3c8b7a54',
  publicTenant,
  '7e5b3a19-8d4c-4f62-90ab-1c2d3e4f5a6b',
  [partnerTenant.id],
);
export const devOpsIdentity = app(
  '2e8b6d90-f4c1-4a7e-b5d3-9c0f8e7a6b12',
  publicTenant,
  '94c2e1f0-3b5d-4e7a-8c6f-0d9b8a7e6f5c',
);
export const usGovApplication = app(
  '5f1c9b3e-7d60-4e2a-94b8-c3a5d7e9f102',
  usGovTenant,
  '1f2e3d4c-5b6a-4798-8a7b-6c5d4e3f2a1b',
);
export const chinaApplication = app(
  'd83a5e27-6b4f-4c19-8e0d-a2f7b9c1e364',
  chinaTenant,
  '2a3b4c5d-6e7f-4a81-9b2c-3d4e5f6a7b8c',
);

export const tenants = (): Tenant[] => [publicTenant, partnerTenant, usGovTenant, chinaTenant].map((t) => ({ ...t }));

export const applications = (): Application[] =>
  [production, multitenant, devOpsIdentity, usGovApplication, chinaApplication].map((a) => structuredClone(a));

export const defaultClientId = production.clientId;
export const multitenantClientId = multitenant.clientId;
