// Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end.
const identity = require('@azure/identity');

const keyVault = 'https://vault.azure.net/.default';
const resourceManager = 'https://management.azure.com/.default';

const { AZURESUBSCRIPTION_TENANT_ID, AZURESUBSCRIPTION_CLIENT_ID, AZURESUBSCRIPTION_SERVICE_CONNECTION_ID } =
  process.env;
const credentials = {
  DefaultAzureCredential: () => new identity.DefaultAzureCredential(),
  WorkloadIdentityCredential: () => new identity.WorkloadIdentityCredential(),
  ManagedIdentityCredential: () => new identity.ManagedIdentityCredential(),
  AzurePipelinesCredential: () =>
    new identity.AzurePipelinesCredential(
      AZURESUBSCRIPTION_TENANT_ID,
      AZURESUBSCRIPTION_CLIENT_ID,
      AZURESUBSCRIPTION_SERVICE_CONNECTION_ID,
      process.env.SYSTEM_ACCESSTOKEN,
    ),
};
const create = credentials[process.argv[2]];

async function show(what, credential, scope) {
  try {
    await credential.getToken(scope);
    console.log(`${what}: a token`);
  } catch (error) {
    console.log(`${what}: ${/AADSTS\d+/.exec(error.message)?.[0] ?? error.message}`);
  }
}

async function main() {
  const credential = create();
  await show('first', credential, keyVault);
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.PAUSE) * 1000));
  await show('another resource', credential, resourceManager);
  await show('a new credential', create(), resourceManager);
}

main();
