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
}

/** The day on which the versions below were the newest. */
export const pinnedOn = '2026-11-25';

/** The Go that builds: some of the modules need a newer one than machines have. It comes from the module proxy too. */
export const goToolchain = 'go1.27.3';

/** The tools by the name that `npm run tools -- NAME` takes. */
export const tools = {
  'identity-js': {
    title: '@azure/identity',
    install: { from: 'npm', packages: ['@azure/identity@4.14.1'] },
  },
  'identity-python': {
    title: 'azure-identity (Python)',
    install: { from: 'PyPI', packages: ['azure-identity==1.27.0'] },
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
