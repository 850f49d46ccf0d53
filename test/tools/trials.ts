import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { programs } from './install.ts';
import type { ToolName } from './list.ts';
import { type Recipe, recipe, recipeFile, withProgram } from './recipe.ts';
import { blobs, database, kubeconfig, provider, trustForJava, wheel } from './services.ts';
import type { Trial } from './trial.ts';

const program = (name: string): string => readFileSync(join(programs, name), 'utf8');

const languages = {
  'identity-js': { call: 'node deploy.js', file: 'deploy.js' },
  'identity-python': { call: 'python3 deploy.py', file: 'deploy.py' },
  'identity-go': { call: 'deploy-go', file: undefined },
  'identity-java': { call: 'java Deploy.java', file: 'Deploy.java' },
} satisfies Partial<Record<ToolName, { call: string; file: string | undefined }>>;

/** The minutes for which an SDK presents what it read from the token file; Java's reads it for each token. */
const keptFor: Partial<Record<ToolName, number>> = { 'identity-js': 5, 'identity-python': 10, 'identity-go': 10 };

type Credential =
  | 'DefaultAzureCredential'
  | 'WorkloadIdentityCredential'
  | 'ManagedIdentityCredential'
  | 'AzurePipelinesCredential';

/** A program that holds one credential of each SDK, and makes another one. It prints a line for each token. */
function sdks(credential: Credential, given: Recipe, called: string): Trial[] {
  return (['identity-js', 'identity-python', 'identity-go', 'identity-java'] as const).map((tool) => {
    const { call, file } = languages[tool];
    const keepsFileFor = given.heading === 'Azure SDKs' ? keptFor[tool] : undefined;
    return {
      tools: [tool],
      recipe: withProgram(given, called, `${call} ${credential}`),
      does:
        keepsFileFor === undefined
          ? `\`${credential}\`: one object, then another; three tokens for two resources`
          : `\`${credential}\`: one object, which keeps what it read for ${keepsFileFor} minutes and is refused a second resource with it; another object gets the token`,
      ...(file === undefined ? {} : { files: { [file]: program(file) } }),
      shows: [/^first: a token$/, /^another resource: a token$/, /^a new credential: a token$/],
      ...(keepsFileFor === undefined ? {} : { keepsFileFor }),
      ...(tool === 'identity-java' ? { prepare: trustForJava } : {}),
    };
  });
}

/** A provider of Terraform that reads something before and after the first ID token's end, in both ways. */
function terraformProvider(name: 'azurerm' | 'azuread' | 'azapi', source: string): Trial[] {
  return ['Terraform', 'Terraform without a connection'].map((heading) => ({
    tools: [name, 'terraform'],
    recipe: recipe(heading),
    does: '`terraform apply`: reads before and after a resource that takes its time',
    files: { 'main.tf': program(`${name}.tf`) },
    shows: [/^Apply complete! Resources: 1 added/],
    accessTokenLifetime: 1215,
    prepare: provider(name, source),
  }));
}

/** The command of the recipe for SQL. */
const sqlcmd = `sqlcmd -S contoso.database.windows.net -d storefront \\
  --authentication-method ActiveDirectoryManagedIdentity -i migrate.sql`;

/** Every recipe of docs/recipes.md that a tool on this machine can be had for. */
export const trials: readonly Trial[] = [
  {
    tools: ['curl'],
    recipe: recipe('curl'),
    does: 'a secret of a vault',
    shows: [/Hello from the protected API/],
  },
  {
    tools: ['curl', 'jq'],
    recipe: recipe('curl in a loop'),
    does: 'two secrets of a vault, a token from the endpoint for each; then the same again',
    shows: [/^200$/],
    twice: true,
    accessTokenLifetime: 20,
  },
  ...sdks('DefaultAzureCredential', recipe('Azure SDKs'), 'node deploy.js'),
  ...sdks('WorkloadIdentityCredential', recipe('Azure SDKs'), 'node deploy.js'),
  ...sdks('DefaultAzureCredential', recipe('ManagedIdentityCredential'), 'node deploy.js'),
  ...sdks('ManagedIdentityCredential', recipe('ManagedIdentityCredential'), 'node deploy.js'),
  ...sdks('AzurePipelinesCredential', recipe('AzurePipelinesCredential'), 'dotnet run --project deploy'),
  {
    tools: ['az'],
    recipe: recipe('Azure CLI'),
    does: '`az login --service-principal --federated-token`, `az group list`',
    shows: [/^storefront /],
    twice: true,
    idTokenLifetime: 100,
  },
  {
    tools: ['az'],
    recipe: recipe('Azure CLI in a long job'),
    does: '`az login --identity`, `az group list`, `az rest`',
    shows: [/^storefront /, /^Hello from the protected API$/],
    twice: true,
    idTokenLifetime: 40,
    accessTokenLifetime: 60,
  },
  {
    tools: ['terraform', 'azurite'],
    recipe: recipe('Terraform'),
    does: '`terraform apply` with the `azurerm` backend: lock, a resource that takes its time, state, unlock',
    files: { 'main.tf': program('backend.tf') },
    shows: [/^Apply complete! Resources: 1 added/],
    accessTokenLifetime: 1215,
    prepare: blobs,
  },
  {
    tools: ['terraform', 'azurite'],
    recipe: recipe('Terraform without a connection'),
    does: '`terraform apply` with the `azurerm` backend, as before',
    files: { 'main.tf': program('backend.tf') },
    shows: [/^Apply complete! Resources: 1 added/],
    accessTokenLifetime: 1215,
    prepare: blobs,
  },
  ...terraformProvider('azurerm', 'hashicorp'),
  ...terraformProvider('azuread', 'hashicorp'),
  ...terraformProvider('azapi', 'Azure'),
  ...['Azure Developer CLI', 'azd without a connection'].map(
    (heading): Trial => ({
      tools: ['azd', 'jq'],
      recipe: withProgram(recipe(heading), 'azd up --no-prompt', 'azd auth token --output json | jq -r .expiresOn'),
      does: '`azd auth login`, `azd auth token`',
      shows: [/^\d{4}-\d\d-\d\dT/],
      twice: true,
    }),
  ),
  {
    tools: ['azcopy', 'azurite'],
    recipe: recipe('AzCopy'),
    does: '`azcopy copy` of a folder to a blob service',
    files: { 'site/index.html': '<p>Storefront</p>' },
    shows: [/^Final Job Status: Completed$/],
    twice: true,
    prepare: blobs,
  },
  ...['kubectl', 'kubectl with the job token', 'kubectl with the token endpoint'].map(
    (heading): Trial => ({
      tools: ['kubelogin', 'kubectl'],
      recipe: recipe(heading),
      does: '`kubectl get pods`, which calls `kubelogin`',
      shows: [/^storefront-0 /],
      twice: true,
      accessTokenLifetime: 20,
      prepare: kubeconfig,
    }),
  ),
  {
    tools: ['git'],
    recipe: recipe('git'),
    does: '`git clone` from Azure Repos',
    shows: [/^Cloning into 'storefront'/],
  },
  {
    tools: ['git', 'curl', 'jq'],
    recipe: recipe('git in a long job'),
    does: '`git clone` and `git fetch` with a credential helper that asks the endpoint',
    shows: [/^Cloning into 'storefront'/],
    twice: true,
    accessTokenLifetime: 20,
  },
  {
    tools: ['twine'],
    recipe: recipe('Python packages'),
    does: '`twine upload` to a feed, `pip install` from it',
    shows: [/^Successfully installed contoso-greeting-1\.0\.0$/],
    prepare: wheel,
  },
  {
    tools: ['npm'],
    recipe: recipe('npm packages'),
    does: '`npm publish` to a feed, `npm view` from it',
    files: {
      '.npmrc': recipeFile('npm packages', 'ini'),
      'package.json': '{"name":"contoso-greeting","version":"1.0.0","main":"index.js"}',
      'index.js': 'module.exports = "Hello";\n',
    },
    shows: [/^\+ contoso-greeting@1\.0\.0$/, /^1\.0\.0$/],
  },
  {
    tools: ['sqlcmd'],
    recipe: withProgram(recipe('SQL in a long job'), 'contoso.database.windows.net', '"$SQL_SERVER"'),
    does: 'signs in to a database server and runs a script',
    files: { 'migrate.sql': "UPDATE greetings SET text = 'Hello'\nGO\n" },
    shows: [/^\[command\]bash /],
    twice: true,
    accessTokenLifetime: 20,
    prepare: (cloud) => database(cloud, ','),
  },
  {
    tools: ['mssql-go'],
    recipe: withProgram(recipe('SQL in a long job'), sqlcmd, 'sql-go "$SQL_SERVER"'),
    does: 'one pool, two sign-ins to a database server',
    shows: [/^first: done$/, /^again: done$/],
    accessTokenLifetime: 20,
    prepare: (cloud) => database(cloud, ':'),
  },
  {
    tools: ['mssql-jdbc'],
    recipe: withProgram(recipe('SQL in a long job'), sqlcmd, 'java Sql.java "$SQL_SERVER"'),
    does: 'two sign-ins to a database server',
    files: { 'Sql.java': program('Sql.java') },
    shows: [/^first: done$/, /^again: done$/],
    accessTokenLifetime: 20,
    prepare: async (cloud, folder) => {
      const { environment, close } = await database(cloud, ':');
      return { environment: { ...environment, ...(await trustForJava(cloud, folder)).environment }, close };
    },
  },
  {
    tools: ['databricks'],
    recipe: withProgram(recipe('Databricks'), 'deploy.py', 'deploy-databricks.py'),
    does: 'asks a workspace who it is',
    files: { 'deploy-databricks.py': program('deploy-databricks.py') },
    shows: [/^user: deploy$/],
  },
  {
    tools: ['boto3'],
    recipe: withProgram(recipe('AWS'), 'deploy.py', 'deploy-aws.py'),
    does: 'one client, two calls with credentials that ran out between them',
    files: { 'deploy-aws.py': program('deploy-aws.py') },
    shows: [/^first: arn:aws:sts::/, /^again: arn:aws:sts::/],
  },
  {
    tools: ['google-auth'],
    recipe: withProgram(recipe('Google Cloud'), 'deploy.py', 'deploy-google.py'),
    does: 'one credential, two tokens',
    files: { 'deploy-google.py': program('deploy-google.py') },
    shows: [/^first: a token$/, /^again: a token$/],
  },
];
