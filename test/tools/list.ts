/** How a tool comes onto this machine: by the ordinary client of its own registry, or not at all. */
export type Install =
  | { from: 'PyPI'; packages: readonly string[] }
  | { from: 'npm'; packages: readonly string[]; commands?: Readonly<Record<string, string>> }
  /** A command of a Go module. */
  | { from: 'Go'; command: string; version: string }
  /** A program of this folder that is built with Go modules. */
  | { from: 'Go'; program: string; modules: readonly string[] }
  /** Packages for programs that Java runs from their source: `group:artifact:version`. */
  | { from: 'Maven'; packages: readonly string[] }
  /** No registry has it: it is run where it is installed. */
  | { from: 'PATH'; command: string; version: readonly string[] };

export interface Tool {
  /** As its documentation spells it. */
  title: string;
  install: Install;
  /** It is built for so long that `npm run tools` leaves it out unless it is named. */
  isSlow?: true;
}

/** The day on which the versions below were chosen: the newest that can be installed with everything they need. */
export const pinnedOn = '2026-11-25';

/** The Go that builds: some of the modules need a newer one than machines have. It comes from the module proxy too. */
export const goToolchain = 'go1.27.3';

/** The tools by the name that `npm run tools -- NAME` takes. */
export const tools = {
  'identity-js': {
    title: '@azure/identity (JavaScript)',
    install: { from: 'npm', packages: ['@azure/identity@4.14.1'] },
  },
  'identity-python': {
    title: 'azure-identity (Python)',
    install: { from: 'PyPI', packages: ['azure-identity==1.27.0'] },
  },
  'identity-go': {
    title: 'azidentity (Go)',
    install: {
      from: 'Go',
      program: 'deploy-go',
      modules: ['github.com/Azure/azure-sdk-for-go/sdk/azidentity@v1.15.0'],
    },
  },
  'identity-java': {
    title: 'azure-identity (Java)',
    // 1.19.0 brings a Netty whose native parts not every mirror of Maven Central has.
    install: { from: 'Maven', packages: ['com.azure:azure-identity:1.18.4'] },
  },
  az: {
    title: 'Azure CLI',
    install: { from: 'PyPI', packages: ['azure-cli==2.91.0'] },
  },
  kubelogin: {
    title: 'kubelogin',
    install: { from: 'Go', command: 'github.com/Azure/kubelogin', version: 'v0.2.22' },
  },
  kubectl: {
    title: 'kubectl',
    install: { from: 'Go', program: 'kubectl', modules: ['k8s.io/kubectl@v0.37.2'] },
  },
  twine: {
    title: 'twine and pip',
    install: { from: 'PyPI', packages: ['twine==7.0.0'] },
  },
  npm: {
    title: 'npm',
    install: { from: 'npm', packages: ['npm@12.2.1'] },
  },
  databricks: {
    title: 'databricks-sdk (Python)',
    install: { from: 'PyPI', packages: ['databricks-sdk==0.162.0'] },
  },
  'mssql-go': {
    title: 'go-mssqldb (Go)',
    install: { from: 'Go', program: 'sql-go', modules: ['github.com/microsoft/go-mssqldb@v1.11.2'] },
  },
  'mssql-jdbc': {
    title: 'mssql-jdbc (Java)',
    install: {
      from: 'Maven',
      packages: ['com.microsoft.sqlserver:mssql-jdbc:13.6.2.jre11', 'com.azure:azure-identity:1.18.4'],
    },
  },
  sqlcmd: {
    title: 'sqlcmd',
    install: { from: 'PATH', command: 'sqlcmd', version: ['--version'] },
  },
  boto3: {
    title: 'boto3 (AWS)',
    install: { from: 'PyPI', packages: ['boto3==1.44.8'] },
  },
  'google-auth': {
    title: 'google-auth (Google Cloud)',
    install: { from: 'PyPI', packages: ['google-auth==2.63.0', 'requests==2.34.2'] },
  },
  curl: {
    title: 'curl',
    install: { from: 'PATH', command: 'curl', version: ['--version'] },
  },
  jq: {
    title: 'jq',
    install: { from: 'PATH', command: 'jq', version: ['--version'] },
  },
  git: {
    title: 'git',
    install: { from: 'PATH', command: 'git', version: ['--version'] },
  },
  azcopy: {
    title: 'AzCopy',
    install: {
      from: 'npm',
      packages: ['@azure-tools/azcopy-linux@10.32.2'],
      commands: { azcopy: '@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64' },
    },
  },
  azurite: {
    title: 'Azurite',
    install: { from: 'npm', packages: ['azurite@3.37.0'] },
  },
  terraform: {
    title: 'Terraform',
    install: { from: 'PATH', command: 'terraform', version: ['version'] },
  },
  azurerm: {
    title: 'Terraform provider azurerm',
    // The module proxy has no release of it: the commit of 24 August 2026.
    install: {
      from: 'Go',
      command: 'github.com/hashicorp/terraform-provider-azurerm',
      version: 'v1.44.1-0.20260824201233-fae580791926',
    },
    isSlow: true,
  },
  azuread: {
    title: 'Terraform provider azuread',
    install: { from: 'PATH', command: 'terraform-provider-azuread', version: ['--help'] },
  },
  azapi: {
    title: 'Terraform provider azapi',
    install: { from: 'PATH', command: 'terraform-provider-azapi', version: ['--help'] },
  },
  azd: {
    title: 'azd',
    install: { from: 'PATH', command: 'azd', version: ['version'] },
  },
} satisfies Record<string, Tool>;

export type ToolName = keyof typeof tools;

/** The version of a tool that the list names; what is not installed from the list has to be asked. */
export function pinnedVersion({ install }: Tool): string | undefined {
  switch (install.from) {
    case 'PATH':
      return undefined;
    case 'Go':
      return 'command' in install ? install.version.replace(/^v/, '') : versionOf(install.modules[0]);
    default:
      return versionOf(install.packages[0]);
  }
}

const versionOf = (pin = ''): string => /(?:==|@v?|:)([^@:=]+)$/.exec(pin)?.[1] ?? '';
