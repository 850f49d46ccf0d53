// What the tasks of Microsoft do for a token of a service connection with workload identity federation.
require('./route.cjs');
const { AzureRMEndpoint } = require('azure-pipelines-tasks-azure-arm-rest/azure-arm-endpoint');
const tl = require('azure-pipelines-task-lib/task');

async function main() {
  const endpoint = await new AzureRMEndpoint(tl.getInput('connectedServiceNameARM', true)).getEndpoint();
  const token = await endpoint.applicationTokenCredentials.getToken();
  tl.setSecret(token);
  tl.setVariable('accessToken', token, true, true);
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
