import type { LogLine } from './log.ts';
import type { Machine } from './machine.ts';
import type { PipelineDefinition } from './pipeline.ts';

/** The newest agent, by whose rules jobs run unless they say otherwise. */
export const CURRENT_AGENT = '5.278.0';

/** A service connection, as the server would put it into the job. */
export interface ServiceConnection {
  /** Lower case, with dashes. */
  id: string;
  /** The name by which the pipeline knows it. */
  name: string;
  /** `AzureRM`, `WorkloadIdentityUser`, … */
  type: string;
  url: string;
  /** `WorkloadIdentityFederation`, `ServicePrincipal`, … */
  scheme: string;
  /** Authorization parameters. The agent masks all of them but a few that are known to be harmless. */
  parameters: Record<string, string>;
  data?: Record<string, string>;
}

export interface JobOptions {
  /** YAML text, or what {@link parsePipeline} made of one. */
  pipeline: string | PipelineDefinition;
  /** The packaged extension. */
  vsix: string;
  /** The address of the job's own connection, and `System.CollectionUri`. */
  collectionUri: string;
  /** The job's access token, in its own connection and in `System.AccessToken`; absent, the job has neither. */
  jobToken?: string | undefined;
  /** Those of the project. As from the server, a job gets the ones that the inputs of its steps name. */
  connections?: ServiceConnection[];
  /** Public variables that the server sends: system, build, and the user's. */
  variables?: Record<string, string>;
  secretVariables?: Record<string, string>;
  /** Added to the agent's own environment, which every process inherits. */
  environment?: Record<string, string>;
  /** Added to the environment of scripts alone, for the tools that they run. Tasks see nothing of it. */
  scriptEnvironment?: Record<string, string>;
  /** Where tasks run, if that is not this machine. */
  machine?: Machine;
  /** Node's binaries; by default the one that runs this, or those of the machine. */
  node?: { node24?: string; node20?: string };
  /**
   * What an agent on Alpine starts instead of both, as long as no variable tells it to use another (agent:
   * NodeHandler.cs). Of the others, it has those that are given.
   */
  node10?: string;
  /** Whether the handler Node24 runs on Node 24; if not, its file runs on Node 20. Default true. */
  useNode24?: boolean;
  /** Takes this handler instead of the preferred one. */
  handler?: 'Node24' | 'Node20_1';
  systemDebug?: boolean;
  /** True for an agent of Microsoft's, which runs one job on a fresh machine. Default false. */
  isHosted?: boolean;
  proxy?: { url: string; username?: string; password?: string; bypass?: string[] };
  certificates?: {
    ca?: string;
    clientCert?: string;
    clientCertKey?: string;
    clientCertArchive?: string;
    clientCertPassword?: string;
    skipValidation?: boolean;
  };
  /**
   * The agent's version; by default {@link CURRENT_AGENT}. Before 5.278.0 it does not mask the ID token of a connection,
   * before 5.277.0 variables win over inputs and connections in the environment of a task, and before 4.274.1
   * `task.setendpoint` changes the job's own connection.
   */
  agentVersion?: string;
  /** False hides the agent's own files from the step, as a job container does. Default true. */
  hasAgentFiles?: boolean;
  /** Whether overwriting a read-only variable fails the step; else it is a warning. Default true. */
  enforceReadOnly?: boolean;
  /** Kept afterwards; by default a fresh one is made and removed. */
  workFolder?: string;
  /** Each line as it is written, masked. */
  onLine?: (line: LogLine) => void;
  /** Cancels the job. */
  cancel?: AbortSignal;
  /** Milliseconds from SIGINT to SIGTERM, and from there to SIGKILL. Default 7500 and 2500. */
  signalTimeouts?: { interruptMs: number; terminateMs: number };
  /**
   * Milliseconds, each with the agent's own value as the default: for streams that are still held after the end of a
   * process (5000), for a process after `task.complete` with `done` (5000), and the unit of the pauses between retries
   * (1000).
   */
  waits?: { streamMs?: number; forceCompleteMs?: number; retryMs?: number };
  /** Is told of each process of a step as soon as it is there. */
  onProcess?: (info: ProcessInfo) => void;
}

/** A process that the agent has started for a stage of a step. */
export interface ProcessInfo {
  pid: number;
  step: string;
  stage: 'pre' | 'main' | 'post';
  /** What it was started with; the system shows that of a process only a moment after its start. */
  environment: Readonly<Record<string, string>>;
  /** Ends that process alone and at once, as somebody else than the agent may. */
  terminate(): void;
}
