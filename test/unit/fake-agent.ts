import type { Agent, Endpoint } from '../../tasks/EntraTokenV1/agent/agent.ts';
import { readOrigins } from '../../tasks/EntraTokenV1/origins/origins.ts';

export interface FakeConnection {
  scheme?: string;
  parameters?: Record<string, string>;
  data?: Record<string, string>;
  url?: string;
}

export interface AgentFacts {
  inputs?: Record<string, string>;
  variables?: Record<string, string>;
  environment?: Record<string, string>;
  connections?: Record<string, FakeConnection>;
}

/** A connection as the step sees it, from plain data. */
export function endpoint({
  scheme = 'WorkloadIdentityFederation',
  parameters = {},
  data = {},
}: FakeConnection): Endpoint {
  return { scheme, parameter: (name) => find(parameters, name), data: (name) => find(data, name) };
}

/** An agent that knows the facts it is given, and keeps what it is told. */
export function fakeAgent({ inputs = {}, variables = {}, environment = {}, connections = {} }: AgentFacts) {
  const told: { log: string[]; warnings: string[]; masked: string[]; set: Record<string, string> } = {
    log: [],
    warnings: [],
    masked: [],
    set: {},
  };
  const origins = readOrigins({
    environment: {
      ...Object.fromEntries(
        Object.entries(variables).map(([name, value]) => [name.replaceAll(/[. ]/g, '_').toUpperCase(), value]),
      ),
      VSTS_PUBLIC_VARIABLES: JSON.stringify(Object.keys(variables)),
      ...environment,
    },
    platform: 'linux',
    place: { node: [], task: '' },
    workingFolder: undefined,
  });
  const agent: Agent = {
    input: (name) => (inputs[name] ?? '').trim(),
    variable: (name) => find(variables, name),
    secretVariable: (name) => find(variables, name)?.trim(),
    origins,
    endpoint: (id) => connections[id] && endpoint(connections[id]),
    endpointUrl: (id) => connections[id]?.url,
    mask: (text) => told.masked.push(text),
    guard: () => undefined,
    setOutput: () => undefined,
    setVariable: (name, value) => {
      told.set[name] = value;
    },
    setTaskVariable: () => undefined,
    log: (line) => told.log.push(line),
    logGroup: (title, lines) => told.log.push(`##[group]${title}`, ...lines, '##[endgroup]'),
    warn: (message) => told.warnings.push(message),
    succeed: () => undefined,
    fail: () => undefined,
  };
  return { agent, told };
}

/** By a name without regard to case; an empty text is none. */
function find(values: Record<string, string>, name: string): string | undefined {
  const found = Object.entries(values).find(([key]) => key.toLowerCase() === name.toLowerCase());
  return found?.[1] || undefined;
}
