// Holds one credential, as a deployment does, and needs tokens before and after the first ID token's end.
const { DefaultAzureCredential } = require('@azure/identity');

const keyVault = 'https://vault.azure.net/.default';
const resourceManager = 'https://management.azure.com/.default';

async function show(what, credential, scope) {
  try {
    await credential.getToken(scope);
    console.log(`${what}: a token`);
  } catch (error) {
    console.log(`${what}: ${/AADSTS\d+/.exec(error.message)?.[0] ?? error.message}`);
  }
}

async function main() {
  const credential = new DefaultAzureCredential();
  await show('first', credential, keyVault);
  await new Promise((resolve) => setTimeout(resolve, Number(process.env.PAUSE) * 1000));
  await show('another resource', credential, resourceManager);
  await show('a new credential', new DefaultAzureCredential(), resourceManager);
}

main();
