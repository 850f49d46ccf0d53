/**
 * A long-running tool that holds on to one credential and needs access tokens again and again, until it has had so many
 * and one that was issued after the time (seconds since 1970). Prints one line of JSON for each new token. Usage:
 * long-deployment.cjs CREDENTIAL COUNT TIME
 */
const identity = require('@azure/identity');

async function main() {
  const [, , name, count, time] = process.argv;
  const credential = new identity[name]({ disableInstanceDiscovery: true });
  const seen = new Set();
  for (let last = 0; seen.size < Number(count) || last <= Number(time); ) {
    const { token } = await credential.getToken('https://vault.azure.net/.default');
    if (!seen.has(token)) {
      seen.add(token);
      last = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString('utf8')).iat;
      process.stdout.write(`${JSON.stringify({ token })}\n`);
    }
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

main().catch((error) => {
  process.stdout.write(`${JSON.stringify({ error: String(error.message) })}\n`);
});
