// What a script gets its token with that uses the Azure SDK.
require('./route.cjs');
const { AzurePipelinesCredential } = require('@azure/identity');

async function main() {
  const { BENCH_TENANT_ID, BENCH_CLIENT_ID, BENCH_CONNECTION_ID, BENCH_JOB_TOKEN, BENCH_SCOPE } = process.env;
  const credential = new AzurePipelinesCredential(
    BENCH_TENANT_ID,
    BENCH_CLIENT_ID,
    BENCH_CONNECTION_ID,
    BENCH_JOB_TOKEN,
  );
  const { token } = await credential.getToken(BENCH_SCOPE);
  process.stdout.write(`${token}\n`);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
