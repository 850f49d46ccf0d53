import { presetNames } from '../tasks/EntraTokenV1/request/clouds.ts';

/** What a step is asked for. */
export interface Situation {
  readonly inputs: Readonly<Record<string, string>>;
  /** The ID token comes with the connection. */
  readonly lateBound: boolean;
}

const tenPresets = presetNames.slice(0, 10);

/** The steps that are measured. */
export const situations = {
  one: { inputs: {}, lateBound: false },
  ten: { inputs: { scopes: tenPresets.map((preset) => `${preset} = ${preset}`).join('\n') }, lateBound: false },
  lateBound: { inputs: {}, lateBound: true },
  tokenFile: { inputs: { exportEnvironment: 'workloadIdentity' }, lateBound: false },
} satisfies Record<string, Situation>;

export type SituationName = keyof typeof situations;

/** How the agent starts a program of Node: all but the binary. */
export interface Program {
  readonly script: string;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** What the process of the local cloud says when it is ready. */
export interface Ready {
  readonly main: Readonly<Record<SituationName, Program>>;
  readonly post: Program;
  /** Where each real name of a service is answered: `host:port` to `host:port`. */
  readonly hosts: Readonly<Record<string, string>>;
  readonly connection: { readonly id: string; readonly clientId: string; readonly tenantId: string };
  readonly authorityUrl: string;
  readonly jobToken: string;
  /** PEM file of the authority that signed the cloud's certificates. */
  readonly caFile: string;
  /** For clients that reach the real names through a proxy alone: it, and whom they have to trust. */
  readonly proxy: { readonly url: string; readonly authorities: string };
  /** A folder that is removed at the end. */
  readonly home: string;
}

/** What came to the cloud since it was asked last. */
export interface Traffic {
  readonly requests: number;
  readonly connections: number;
  /** Answers that were not 200. */
  readonly refusals: number;
}

export type Order = { readonly latencyMs: number } | 'traffic' | 'end';
