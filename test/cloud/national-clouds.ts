/** The national clouds that the local cloud stands for, and what differs between them. */

export type CloudName = 'public' | 'usGov' | 'china';

/** The audience that a federated credential of each cloud has. */
export const tokenExchangeAudience: Record<CloudName, string> = {
  public: 'api://AzureADTokenExchange',
  usGov: 'api://AzureADTokenExchangeUSGov',
  china: 'api://AzureADTokenExchangeChina',
};

/** The audience of Kubernetes tokens for an identity binding of AKS. */
export const identityBindingAudience = 'api://AKSIdentityBinding';

/** The host of Entra that each cloud is known by. */
export const authorityHost: Record<CloudName, string> = {
  public: 'login.microsoftonline.com',
  usGov: 'login.microsoftonline.us',
  china: 'login.partner.microsoftonline.cn',
};
