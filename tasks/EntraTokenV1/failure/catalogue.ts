/** One way to fail: what leads to it, the likely reason, and what to do. `docs/errors.md` has a heading for each. */
interface Entry {
  /** Numbers of Entra's AADSTS codes that mean this. */
  readonly aadsts?: readonly number[];
  /** Numbers of Azure DevOps' own messages that mean this. */
  readonly devOps?: readonly string[];
  /** Error codes of Node, OpenSSL or the resolver that mean this. */
  readonly node?: readonly string[];
  readonly reason: string;
  readonly remedy: string;
}

function entries<Name extends string>(table: Record<Name, Entry>): Readonly<Record<Name, Entry>> {
  return table;
}

/**
 * From what was seen to a stable code, the likely reason and the remedy. Codes are public: once shipped, they keep
 * their meaning. What was seen is matched by number or code alone; the services' sentences change and may quote secrets.
 */
export const catalogue = entries({
  // What the step was given.
  ET_INPUT: {
    reason: 'A value is misspelt, missing, or does not go with the others.',
    remedy: 'Correct the inputs of the step; no request was made.',
  },
  ET_CONNECTION_UNAVAILABLE: {
    reason: 'The service connection was deleted, or the pipeline may not use it.',
    remedy: 'Choose the connection again, or allow this pipeline to use it (project settings, Service connections).',
  },
  ET_CONNECTION_NOT_FEDERATED: {
    reason: 'Only a connection with workload identity federation works without a stored secret.',
    remedy:
      'Convert the connection (project settings, Service connections, Convert; ' +
      'https://learn.microsoft.com/azure/devops/pipelines/release/convert-service-connections), or choose another.',
  },
  ET_CONNECTION_INCOMPLETE: {
    reason: 'The connection was saved before it was complete.',
    remedy: 'Open the connection in the project settings, fill in what is missing, verify and save it.',
  },
  ET_ADFS: {
    reason: 'AD FS does not support workload identity federation.',
    remedy: 'Use a connection whose identity is in Microsoft Entra.',
  },
  ET_TENANT_NOT_ALLOWED: {
    reason: 'The step must explicitly allow a tenant other than the identity’s own.',
    remedy: 'Add the tenant (or *) to additionallyAllowedTenants, or leave tenantId out.',
  },
  ET_JOB_TOKEN_MISSING: {
    reason: 'The server sends the job token in the connection SystemVssConnection, which this job does not have.',
    remedy: 'Run the step in a pipeline job on an agent, not in a server job and not manually.',
  },
  ET_JOB_INCOMPLETE: {
    reason: 'The task builds the address of the ID token endpoint from the collection, project, plan and job.',
    remedy: 'Run the step in a pipeline job on an agent.',
  },
  ET_NOT_HTTPS: {
    reason: 'A token that is sent without TLS can be read by anyone on the network path.',
    remedy: 'Use an address that begins with https://.',
  },

  ET_VARIABLE_REFUSED: {
    reason:
      'Any earlier step that prints text can set a pipeline variable, so a variable does not decide where a token is ' +
      'sent, which certificates are trusted, or which file is read.',
    remedy: 'Remove or rename the variable, and use an input of the step or the configuration of the machine instead.',
  },
  ET_AUTHORITY_REFUSED: {
    reason:
      'Any earlier step that prints text can change the data of a connection for the rest of the job, so the ID token is ' +
      'sent only to an authority of the connection’s cloud.',
    remedy:
      'If the authority is correct, set it in the input authorityHost. If nobody changed the connection on purpose, find ' +
      'the step that prints ##vso[task.setendpoint.',
  },
  ET_ORGANIZATION_REFUSED: {
    reason:
      'The job token is sent only to the organization of the job, on dev.azure.com or visualstudio.com. On agents before ' +
      '5.277 an earlier step that prints text can change the address of the organization.',
    remedy: 'Find the variable or the ##vso[task.setendpoint command that changed it, and update the agent.',
  },

  // The pod's token file and the identity binding of AKS.
  ET_KUBERNETES_VARIABLES: {
    reason: 'The workload identity webhook did not change this pod.',
    remedy:
      'Give the pod template the label azure.workload.identity/use: "true" and a service account with the annotation ' +
      'azure.workload.identity/client-id; or set tenantId, clientId and tokenFilePath on the step.',
  },
  ET_KUBERNETES_FILE_MISSING: {
    reason:
      'The projected volume is not mounted where the step runs (a container job does not see the agent pod’s files).',
    remedy: 'Mount the service account token into the container of the job, or set tokenFilePath to where it is.',
  },
  ET_KUBERNETES_FILE_UNREADABLE: {
    reason: 'The agent runs as a user that is not allowed to read the token.',
    remedy: 'Set securityContext.fsGroup on the pod to a group of the agent’s user.',
  },
  ET_KUBERNETES_FILE_WRONG: {
    reason: 'The file is not a service account token.',
    remedy: 'Set AZURE_FEDERATED_TOKEN_FILE or tokenFilePath to the file of the projected volume.',
  },
  ET_KUBERNETES_FILE_EMPTY: {
    reason: 'The kubelet has not written the token yet, or the volume is damaged.',
    remedy: 'Look at the events of the pod (kubectl describe pod), and restart it.',
  },
  ET_KUBERNETES_TOKEN_EXPIRED: {
    reason: 'The kubelet no longer renews the token, or the file is a copy.',
    remedy: 'Use the file of the projected volume itself, look at the events of the pod, and compare the clocks.',
  },
  ET_KUBERNETES_TOKEN_AUDIENCE: {
    reason: 'The pod uses this token for its own cluster; whoever has it has the rights of the service account.',
    remedy: 'Project a token for Entra (audience api://AzureADTokenExchange), and set tokenFilePath to it.',
  },
  ET_IDENTITY_BINDING: {
    reason: 'The variables of the AKS identity binding are incomplete or contradict each other.',
    remedy: 'Compare the pod’s AZURE_KUBERNETES_* variables with what the identity binding webhook sets.',
  },

  // Azure DevOps.
  ET_DEVOPS_UNAUTHORIZED: {
    devOps: ['TF400813', 'VS30063'],
    reason:
      'Azure DevOps did not accept the job token: the job has ended or was canceled, or the token is for another project.',
    remedy:
      'Run the job again. If that does not help, check "Limit job authorization scope" and the access policies of the organization.',
  },
  ET_DEVOPS_FORBIDDEN: {
    devOps: ['TF401444', 'VS800075'],
    reason: 'The build identity is not allowed to use the connection or the project.',
    remedy:
      'Allow this pipeline to use the service connection, and check the permissions of the project’s build service.',
  },
  ET_DEVOPS_CONNECTION_REFUSED: {
    reason:
      'A connection issues ID tokens only if it exists, is enabled, and is named in a task input of the same stage.',
    remedy: 'Check that the connection exists in this project, is not disabled, and is named in an input of this step.',
  },
  ET_DEVOPS_NO_ENDPOINT: {
    reason:
      'The server has no ID token endpoint for this job: Azure DevOps Server has none, or the address belongs to another job.',
    remedy: 'Run the step on Azure DevOps Services; on AKS, set credentialSource to kubernetes.',
  },
  ET_DEVOPS_SERVER: {
    reason: 'Azure DevOps Server has no ID token endpoint.',
    remedy: 'Run the step on Azure DevOps Services; on AKS, set credentialSource to kubernetes.',
  },
  ET_DEVOPS_REFUSED: {
    reason: 'Azure DevOps understood the request and refused it.',
    remedy: 'Look up the named exception, and give the activity ID to Azure DevOps support.',
  },
  ET_DEVOPS_UNAVAILABLE: {
    reason: 'Azure DevOps is temporarily unavailable.',
    remedy: 'Look at https://status.dev.azure.com and run the job again.',
  },
  ET_DEVOPS_THROTTLED: {
    reason: 'The organization has exceeded a rate limit of Azure DevOps.',
    remedy: 'Run fewer jobs at the same time, and request all tokens of a job in one step.',
  },
  ET_DEVOPS_ANSWER: {
    reason: 'The response is not from Azure DevOps, or a proxy replaced it.',
    remedy: 'Check the proxy and the address of the organization.',
  },

  // Entra: the federation does not match.
  ET_NO_FEDERATED_CREDENTIAL: {
    aadsts: [70021, 70025],
    reason:
      'The application or managed identity has no federated credential that matches this ID token, or the credential is new and has not been replicated yet.',
    remedy: 'Create exactly this credential, and wait a minute before you run the job again.',
  },
  ET_ISSUER_MISMATCH: {
    aadsts: [700211],
    reason:
      'No federated credential of the identity has this issuer: the connection was converted, or its organization was moved.',
    remedy: 'Create exactly this credential.',
  },
  ET_SUBJECT_MISMATCH: {
    aadsts: [700213, 7002138, 7002203],
    reason: 'No federated credential of the identity has this subject, which is case-sensitive.',
    remedy: 'Create exactly this credential.',
  },
  ET_AUDIENCE_MISMATCH: {
    aadsts: [700212, 7002121, 700214],
    reason: 'The federated credential names another audience; each cloud has its own.',
    remedy: 'Create exactly this credential.',
  },
  ET_CREDENTIAL_AMBIGUOUS: {
    aadsts: [700263],
    reason: 'More than one federated credential of the identity matches the subject of the ID token.',
    remedy: 'List the federated credentials of the identity, and delete all but the one that is right.',
  },
  ET_ASSERTION_TIME: {
    aadsts: [700024, 500133],
    reason: 'The ID token was new, but not valid at the time of the exchange: a clock is wrong.',
    remedy: 'Set the clock of the agent’s machine (NTP), and run the job again.',
  },
  ET_POLICY: {
    aadsts: [700223, 700238, 7002381, 500212, 500213, 51000],
    reason:
      'A policy of the tenant restricts workload identity federation: whether it is allowed, which issuers are trusted, ' +
      'or which claims an ID token must have.',
    remedy:
      'Only an administrator of the tenant can change it (application management policy): ask for this issuer to be ' +
      'allowed, or for the application to be exempt.',
  },
  ET_ENTRA_TOKEN_AS_ASSERTION: {
    aadsts: [700222, 700236],
    reason:
      'The tenant of the application does not accept ID tokens that Entra issued, or does not accept this issuer.',
    remedy:
      'Keep the service connection on the issuer of Azure DevOps for this tenant, or ask an administrator of the tenant to ' +
      'allow the issuer. With a token file, check which token the file contains.',
  },
  ET_DOUBLE_HOP: {
    aadsts: [700231],
    reason: 'A token that results from one federation cannot be used for another.',
    remedy: 'Name the identity whose federated credential trusts the pod directly, or use a service connection.',
  },
  ET_ASSERTION_LIFETIME: {
    aadsts: [70023],
    reason: 'Entra accepts ID tokens that are valid for at most 25 hours.',
    remedy: 'Lower the service account token’s expiration (azure.workload.identity/service-account-token-expiration).',
  },
  ET_ASSERTION_WRONG: {
    aadsts: [
      700021, 700023, 700027, 50027, 7000216, 7000218, 700226, 700227, 700229, 50006, 50012, 50013, 50048, 900384,
      90016,
    ],
    reason:
      'Entra does not accept the ID token for a federation: it is for another tenant or client, or of another kind.',
    remedy: 'Check the tenant and client, and where the ID token comes from.',
  },
  ET_MULTITENANT_ISSUER: {
    aadsts: [70052],
    reason: 'The Entra issuer does not support multitenant applications.',
    remedy: 'Keep the connection on the Azure DevOps issuer, or make the application single-tenant.',
  },
  ET_CROSS_CLOUD: {
    aadsts: [900382, 900432, 90038, 90051, 1000104],
    reason: 'An ID token of one cloud cannot be exchanged in another.',
    remedy: 'Use a connection that was created for this cloud.',
  },
  ET_ISSUER_UNREACHABLE: {
    aadsts: [50166, 90061],
    reason: 'Entra could not fetch the issuer’s signing keys.',
    remedy: 'Try again; for a cluster of your own, make its OIDC issuer address public.',
  },

  // Entra: client, tenant, resource.
  ET_CLIENT_UNKNOWN: {
    aadsts: [700016, 7000229, 7000112, 70001, 700011, 1000031, 90099, 650056],
    reason:
      'The application was deleted or disabled, is in another tenant, or has no service principal (no consent) in this one.',
    remedy:
      'Compare the client and tenant with the connection; create the service principal (az ad sp create), or give ' +
      'consent to a multitenant application.',
  },
  ET_CLIENT_PUBLIC: {
    aadsts: [700025],
    reason: 'The application is registered as a public client, and a public client cannot use a credential.',
    remedy:
      'In the app registration, open Authentication and switch off "Allow public client flows"; or use another ' +
      'application.',
  },
  ET_TENANT_UNKNOWN: {
    aadsts: [90002, 900023, 50059, 50128, 50194, 9001023, 90019, 90124, 90130],
    reason: 'The tenant does not exist in this cloud.',
    remedy: 'Check the spelling of the tenant, and that the authority is that of its cloud.',
  },
  ET_TENANT_BLOCKED: {
    aadsts: [5000224, 5000225],
    reason: 'Microsoft has blocked the tenant, usually because it was not used for a long time.',
    remedy: 'Ask an administrator of the tenant to restore it, or use an identity of another tenant.',
  },
  ET_TENANT_RESTRICTION: {
    aadsts: [50002, 500021, 500022, 5000211],
    reason:
      'A proxy on the way from the agent to Entra allows only certain tenants (tenant restrictions), and this one is ' +
      'not among them.',
    remedy:
      'Ask the administrators of the proxy to allow the tenant (header Restrict-Access-To-Tenants, or the policy of ' +
      'sec-Restrict-Tenant-Access-Policy), or to let the agent reach Entra without that header.',
  },
  ET_RESOURCE_DISABLED: {
    aadsts: [500014],
    reason:
      'The service principal of the resource is disabled in the tenant: an administrator switched it off, or the ' +
      'subscription to the service has ended.',
    remedy:
      'Ask an administrator of the tenant to enable it (Enterprise applications, the resource, Properties, "Enabled ' +
      'for users to sign in"), or to renew the subscription.',
  },
  ET_RESOURCE_UNKNOWN: {
    aadsts: [500011, 50001, 650052, 650054, 650057],
    reason: 'The resource is misspelt, belongs to another cloud, or has no service principal in the tenant.',
    remedy: 'Check the scope and the cloud, and grant consent for the API in the tenant.',
  },
  ET_SCOPE_INVALID: {
    aadsts: [1002012, 70011, 28002, 28003, 700022, 901002],
    reason: 'Entra does not accept the scope in this form.',
    remedy: 'Write one resource on each line, as a URI or an application ID.',
  },
  ET_ROLE_MISSING: {
    aadsts: [501051, 50105],
    reason: 'The API requires an app role that the application does not have.',
    remedy: 'Assign an app role of the API to the application.',
  },
  ET_CONDITIONAL_ACCESS: {
    aadsts: [53003, 50131, 530032, 530035],
    reason: 'A Conditional Access policy for workload identities blocks this identity from this location.',
    remedy: 'Compare the agent’s outbound IP address with the locations of the policy, or ask for an exclusion.',
  },
  ET_CLIENT_SECRET: {
    aadsts: [7000215, 7000222],
    reason:
      'Entra’s response is about a client secret, which this task never sends: something changed the request on its way.',
    remedy: 'Check the proxy. If the connection has a secret, convert it to workload identity federation.',
  },
  ET_ENTRA_REFUSED: {
    reason: 'Entra understood the request and refused it.',
    remedy: 'Look up the number at https://login.microsoftonline.com/error, or ask Microsoft support.',
  },
  ET_ENTRA_UNAVAILABLE: {
    aadsts: [50033, 90006, 90012, 90024, 90033, 90090, 90091],
    reason: 'Entra is temporarily unavailable.',
    remedy: 'Look at https://status.azure.com and run the job again.',
  },
  ET_ENTRA_THROTTLED: {
    aadsts: [50196, 90055],
    reason: 'The tenant or the client has exceeded a rate limit of Entra.',
    remedy: 'Run fewer jobs at the same time, and do not request a token again while one is valid.',
  },
  ET_ENTRA_ANSWER: {
    reason: 'The response is not from Entra, or a proxy replaced it.',
    remedy: 'Check the proxy and the authority.',
  },

  // The network between.
  ET_NAME_NOT_FOUND: {
    node: ['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME', 'EAI_FAMILY', 'EAI_MEMORY'],
    reason: 'The agent’s machine cannot resolve the name.',
    remedy:
      'Check the name and the DNS of the machine. If the internet is reached through a proxy, configure the agent with it.',
  },
  ET_CONNECTION: {
    node: [
      'ECONNREFUSED',
      'ECONNRESET',
      'ECONNABORTED',
      'EPIPE',
      'ENETUNREACH',
      'EHOSTUNREACH',
      'EHOSTDOWN',
      'ENETDOWN',
      'EADDRNOTAVAIL',
      'EAFNOSUPPORT',
      'ENETRESET',
      'ENOTCONN',
      'ENOBUFS',
      'ERR_STREAM_PREMATURE_CLOSE',
      'ERR_SOCKET_CLOSED',
      'ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC',
    ],
    reason: 'A firewall or a proxy blocks the connection, or the service is down.',
    remedy: 'Allow the agent’s machine to reach the host on its port, or configure the agent with a proxy.',
  },
  ET_TIMEOUT: {
    node: ['ETIMEDOUT', 'ESOCKETTIMEDOUT', 'ERR_TLS_HANDSHAKE_TIMEOUT', 'ERR_SOCKET_CONNECTION_TIMEOUT'],
    reason: 'A firewall drops the packets, or the server does not respond; each try has ten seconds.',
    remedy: 'Allow the agent’s machine to reach the host on its port, or configure the agent with a proxy.',
  },
  ET_CERTIFICATE: {
    node: [
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'CERT_HAS_EXPIRED',
      'CERT_NOT_YET_VALID',
      'CERT_UNTRUSTED',
      'CERT_REJECTED',
      'CERT_REVOKED',
      'CERT_SIGNATURE_FAILURE',
      'CERT_CHAIN_TOO_LONG',
      'PATH_LENGTH_EXCEEDED',
      'ERROR_IN_CERT_NOT_BEFORE_FIELD',
      'ERROR_IN_CERT_NOT_AFTER_FIELD',
      'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
      'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY',
      'UNSPECIFIED',
      'INVALID_CA',
      'INVALID_PURPOSE',
      'ERR_TLS_CERT_ALTNAME_INVALID',
      'HOSTNAME_MISMATCH',
    ],
    reason:
      'The certificate was signed by a proxy that inspects TLS, or by a private authority that the agent does not trust.',
    remedy:
      'Configure the agent with the certificate of the authority (config --sslcacert, or NODE_EXTRA_CA_CERTS in its ' +
      'environment); a job container needs the file mounted.',
  },
  ET_TLS: {
    reason: 'The TLS handshake failed: a client certificate may be required, or the server does not use TLS.',
    remedy: 'Check the proxy’s address and port, and the agent’s client certificate.',
  },
  ET_PROXY: {
    reason: 'The proxy did not open a tunnel to the host.',
    remedy:
      'Allow the host in the proxy, and check the proxy’s address, user and password in the agent’s configuration.',
  },
  ET_CERTIFICATE_FILE: {
    reason: 'The agent is configured with a certificate, key or authority that cannot be used.',
    remedy: 'Configure the agent again (config --sslcacert, --sslclientcert, --sslclientcertkey).',
  },
  ET_PROXY_SETTING: {
    reason: 'The proxy’s address cannot be used.',
    remedy: 'Write it as http://host:port or https://host:port.',
  },

  // This machine, and the rest.
  // newer-node.js says this by itself: it runs where nothing else of the task can.
  ET_NODE_VERSION: {
    reason:
      'An agent on Alpine starts Node 10 unless it is configured otherwise, and the image of a container job can contain ' +
      'any version.',
    remedy:
      'Set the variable AGENT_USE_NODE24_WITH_HANDLER_DATA or AGENT_USE_NODE20_1 to true, in the pipeline or in the ' +
      'environment of the agent, or use an image with Node 20 or later.',
  },
  ET_TOKEN_FILE: {
    reason: 'The agent’s temporary folder is full, read-only or missing.',
    remedy: 'Check the disk and the permissions of Agent.TempDirectory.',
  },
  ET_TOKEN_FILE_ACCESS: {
    reason:
      'The drive of the agent’s temporary folder does not support access control lists, or the agent’s user may not run icacls.exe.',
    remedy: 'Put the agent’s work folder on a local NTFS drive, and let the agent’s user run icacls.exe.',
  },
  ET_REFRESHER: {
    reason: 'The machine did not allow another Node process, or was too busy.',
    remedy: 'Run the job again, or set keepTokenFileFresh to false if ten minutes are enough.',
  },
  ET_ENDPOINT: {
    reason: 'The machine or the container does not let the process listen on its loopback interface.',
    remedy:
      'Allow the agent’s user to listen on 127.0.0.1, or leave tokenEndpoint out and use the outputs or the token file.',
  },
  ET_UNEXPECTED: {
    reason: 'This is most likely a defect of the task.',
    remedy: 'Run the job with System.Debug, and report it with the code above.',
  },
});

export type Code = keyof typeof catalogue;

/** What is wrong with a certificate where it is not whom one trusts: another reason and another remedy. */
const certificateFaults: readonly {
  readonly node: readonly string[];
  readonly reason: string;
  readonly remedy: string;
}[] = [
  {
    node: ['CERT_HAS_EXPIRED', 'ERROR_IN_CERT_NOT_AFTER_FIELD'],
    reason: 'The server’s certificate or that of its authority has expired, or the clock of this machine is ahead.',
    remedy:
      'Ask the operator of the host, or of the proxy that inspects TLS, to renew it. The agent may be configured with an ' +
      'old certificate of the authority. Check the clock.',
  },
  {
    node: ['CERT_NOT_YET_VALID', 'ERROR_IN_CERT_NOT_BEFORE_FIELD'],
    reason:
      'The server’s certificate is not valid yet: the clock of this machine is behind, or the certificate is new.',
    remedy: 'Set the clock of the agent’s machine (NTP), and run the job again.',
  },
  {
    node: ['ERR_TLS_CERT_ALTNAME_INVALID', 'HOSTNAME_MISMATCH'],
    reason: 'The server’s certificate is for another name: the address belongs to another server or to a proxy.',
    remedy: 'Check the address, the machine’s DNS and hosts file, and the proxy.',
  },
  {
    node: ['CERT_REVOKED'],
    reason: 'The server’s certificate was revoked by its authority.',
    remedy: 'Ask the operator of the host, or of the proxy that inspects TLS, to replace it.',
  },
];

/** The reason and the remedy for an error code of a certificate that has its own; undefined for one of mere trust. */
export function certificateFault(nodeCode: string | undefined): { reason: string; remedy: string } | undefined {
  return certificateFaults.find(({ node }) => nodeCode !== undefined && node.includes(nodeCode));
}

/** All codes, in the order of the documentation. */
export const codes = Object.keys(catalogue).filter(isCode);

function isCode(text: string): text is Code {
  return Object.hasOwn(catalogue, text);
}

/**
 * The code for one of Entra's AADSTS numbers; ET_ENTRA_REFUSED for one that neither the table has nor its stem.
 * Entra makes the numbers around federated credentials more exact by one more digit (700213 became 7002138); elsewhere
 * a longer number means something else (7000222 is no 700022).
 */
export function codeOfAadsts(number: number): Code {
  return listedCode(number) ?? stemsOf(number).map(listedCode).find(isDefined) ?? 'ET_ENTRA_REFUSED';
}

/** The number itself, or the shorter one that it is taken for. */
export function knownAadsts(number: number): number {
  return [number, ...stemsOf(number)].find((candidate) => listedCode(candidate) !== undefined) ?? number;
}

function listedCode(number: number): Code | undefined {
  return codes.find((code) => entryOf(code).aadsts?.includes(number));
}

/** 7002xxx is a case of 7002xx, and 70021x one of 70021. */
function stemsOf(number: number): number[] {
  const stem = Math.floor(number / 10);
  if (/^7002\d{3}$/.test(`${number}`)) {
    return [stem, ...stemsOf(stem)];
  }
  return /^70021\d$/.test(`${number}`) ? [stem] : [];
}

function isDefined<T>(value: T | undefined): value is T {
  return value !== undefined;
}

/** The code for one of Azure DevOps' TF and VS numbers; undefined for one that the table does not have. */
export function codeOfDevOpsNumber(number: string | undefined): Code | undefined {
  return number === undefined ? undefined : codes.find((code) => entryOf(code).devOps?.includes(number));
}

/**
 * The code for an error code of Node: ET_TLS for OpenSSL's, ET_UNEXPECTED for what the table does not have. Nobody has
 * thought about what such an error means, so it is not taken for a service that is away.
 */
export function codeOfNodeError(nodeCode: string | undefined): Code {
  if (nodeCode === undefined) {
    return 'ET_UNEXPECTED';
  }
  const known = codes.find((code) => entryOf(code).node?.includes(nodeCode));
  return known ?? (/^(ERR_SSL|ERR_TLS|EPROTO)/.test(nodeCode) ? 'ET_TLS' : 'ET_UNEXPECTED');
}

/** Whether a later try may succeed: the name, the connection or the time failed, and not the trust. */
export function isTransientNodeError(nodeCode: string): boolean {
  return (['ET_NAME_NOT_FOUND', 'ET_CONNECTION', 'ET_TIMEOUT'] as const).some((code) =>
    entryOf(code).node?.includes(nodeCode),
  );
}

/** What the table says of a code. */
export function entryOf(code: Code): Entry {
  return catalogue[code];
}
