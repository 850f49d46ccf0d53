/**
 * A long-running tool that holds on to one credential and needs access tokens again and again. Prints one line of JSON
 * for each token that it got. Usage: long-deployment.cjs CREDENTIAL SECONDS
 */
const identity = require('@azure/identity');

async function main() {
  const [, , name, seconds] = process.argv;
  const credential = new identity[name]({ disableInstanceDiscovery: true });
  const end = performance.now() + Number(seconds) * 1000;
  while (performance.now() < end) {
    const { token } = await credential.getToken('https://vault.azure.net/.default');
    process.stdout.write(`${JSON.stringify({ token })}\n`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

main().catch((error) => {
  process.stdout.write(`${JSON.stringify({ error: String(error.message) })}\n`);
});
