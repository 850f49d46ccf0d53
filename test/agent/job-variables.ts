import { arch, hostname } from 'node:os';
import { isBefore } from './agent-home.ts';
import { asText, evaluateExpression } from './condition.ts';
import type { Endpoint } from './environment.ts';
import { CURRENT_AGENT, type JobOptions } from './job-options.ts';
import type { JobResult } from './job-result.ts';
import type { Masker } from './masker.ts';
import { LOOKUP_ID } from './orphans.ts';
import type { JobDefinition, VariableDefinition } from './pipeline.ts';
import type { Variables } from './variables.ts';
import type { Workspace } from './workspace.ts';

/** The job's own connection, where it has a token, and those of the pipeline; their secrets are masked. */
export function jobEndpoints(
  { jobToken, collectionUri, connections = [], agentVersion = CURRENT_AGENT }: JobOptions,
  masker: Masker,
): Endpoint[] {
  const masksIdTokens = !isBefore(agentVersion, '5.278.0');
  const own: Endpoint = {
    key: 'SYSTEMVSSCONNECTION',
    name: 'SystemVssConnection',
    system: true,
    url: collectionUri,
    scheme: 'OAuth',
    parameters: { AccessToken: jobToken ?? '' },
    data: {},
  };
  const endpoints = [
    ...(jobToken === undefined ? [] : [own]),
    ...connections.map(({ id, name, url, scheme, parameters, data = {} }) => ({
      key: id.toLowerCase(),
      name,
      system: false,
      url,
      scheme,
      // Steps may change them, but only for this job.
      parameters: { ...parameters },
      data: { ...data },
    })),
  ];
  for (const { parameters } of endpoints) {
    for (const [name, value] of Object.entries(parameters)) {
      const isMasked = name.toLowerCase() === 'idtoken' ? masksIdTokens : !HARMLESS_PARAMETERS.has(name.toLowerCase());
      if (isMasked) masker.add(value);
    }
  }
  return endpoints;
}

/** Sets the variables that come with the job; later ones win. Throws where an expression is not understood. */
export function setServerVariables(
  variables: Variables,
  masker: Masker,
  options: JobOptions,
  definition: JobDefinition,
  earlier: ReadonlyMap<string, JobResult>,
): void {
  const { collectionUri, jobToken, systemDebug, enforceReadOnly = true } = options;
  const set = (name: string, value: string): void => {
    variables.set(name, value, { readOnly: /^system\./i.test(name) });
  };
  const setSecret = (name: string, value: string): void => {
    masker.addJobSecret(value);
    variables.set(name, value, { secret: true, readOnly: /^system\./i.test(name) });
  };
  const defaults = {
    'system.hostType': 'build',
    'system.serverType': 'Hosted',
    'system.culture': 'en-US',
    'system.collectionUri': collectionUri,
    'system.teamFoundationCollectionUri': collectionUri,
    'system.TeamFoundationServerUri': collectionUri,
    'agent.readOnlyVariables': String(enforceReadOnly),
    ...(systemDebug === true ? { 'system.debug': 'true' } : {}),
  };
  for (const [name, value] of Object.entries(defaults)) set(name, value);
  if (jobToken !== undefined) {
    set('system.enableAccessToken', 'SecretVariable');
    setSecret('system.accessToken', jobToken);
  }
  for (const variable of definition.variables) setPipelineVariable(variables, masker, earlier, variable);
  for (const [name, value] of Object.entries(options.variables ?? {})) set(name, value);
  for (const [name, value] of Object.entries(options.secretVariables ?? {})) setSecret(name, value);
}

/** A variable of the YAML: a text, or an expression over what earlier jobs left; an output keeps its secrecy. */
function setPipelineVariable(
  variables: Variables,
  masker: Masker,
  earlier: ReadonlyMap<string, JobResult>,
  { name, value: text, readOnly }: VariableDefinition,
): void {
  const expression = /^\$\[([\s\S]*)\]$/.exec(text.trim())?.[1];
  if (expression === undefined) {
    variables.set(name, text, { readOnly });
    return;
  }
  let secret = false;
  const note = (found: { value: string; secret: boolean } | undefined): string | undefined => {
    if (found?.secret === true) {
      secret = true;
      masker.addJobSecret(found.value);
    }
    return found?.value;
  };
  const { value } = evaluateExpression(expression.trim(), {
    variable: (wanted) => note(variables.find(wanted)),
    dependency: (path) => note(dependencyValue(earlier, path)),
  });
  variables.set(name, asText(value), { readOnly, secret });
}

/** `['A', 'result']` and `['A', 'outputs', 'step.name']` of the jobs before. */
export function dependencyValue(
  earlier: ReadonlyMap<string, JobResult>,
  [job = '', what = '', ...name]: readonly string[],
): { value: string; secret: boolean } | undefined {
  const result = [...earlier].find(([key]) => key.toLowerCase() === job.toLowerCase())?.[1];
  if (result === undefined) return undefined;
  if (what.toLowerCase() === 'result') return { value: result.result, secret: false };
  const wanted = name.join('.').toLowerCase();
  return what.toLowerCase() === 'outputs'
    ? Object.entries(result.outputs).find(([key]) => key.toLowerCase() === wanted)?.[1]
    : undefined;
}

/** Sets what the agent says of itself and of the folders (agent: JobRunner.cs, BuildJobExtension.cs). */
export function setAgentVariables(
  variables: Variables,
  workspace: Workspace,
  {
    jobName,
    lookupId,
    isHosted,
    os,
    agentVersion,
  }: { jobName: string; lookupId: string; isHosted: boolean; os: string | undefined; agentVersion: string },
): void {
  const systems: Partial<Record<NodeJS.Platform, string>> = { linux: 'Linux', darwin: 'Darwin', win32: 'Windows_NT' };
  const values = {
    'agent.id': '1',
    'agent.homedirectory': workspace.home,
    'agent.jobname': jobName,
    'agent.cloudid': '',
    'agent.isselfhosted': isHosted ? '0' : '1',
    'agent.machinename': hostname(),
    'agent.name': 'local-agent',
    'agent.os': os ?? systems[process.platform] ?? process.platform,
    'agent.osarchitecture': arch().toUpperCase(),
    'agent.RootDirectory': workspace.work,
    'agent.acceptteeeula': 'False',
    'agent.workfolder': workspace.work,
    'system.workfolder': workspace.work,
    'system.isazurevm': '0',
    'system.isdockercontainer': '0',
    'agent.ToolsDirectory': workspace.tools,
    'agent.TempDirectory': workspace.temp,
    'agent.version': agentVersion,
    'agent.jobstatus': 'Succeeded',
    'agent.builddirectory': workspace.pipeline,
    'pipeline.workspace': workspace.pipeline,
    'build.sourcesdirectory': workspace.sources,
    'build.repository.localpath': workspace.sources,
    'system.defaultworkingdirectory': workspace.sources,
    'build.artifactstagingdirectory': workspace.artifacts,
    'build.stagingdirectory': workspace.artifacts,
    'build.binariesdirectory': workspace.binaries,
    'common.testresultsdirectory': workspace.testResults,
    GIT_TERMINAL_PROMPT: '0',
    // Where the job spares what its steps leave behind, no process gets the mark by which it would be found.
    ...(variables.get('process.clean')?.toLowerCase() === 'false' ? {} : { [LOOKUP_ID]: lookupId }),
  };
  for (const [name, value] of Object.entries(values)) variables.set(name, value);
}

/** Tells tasks how the agent reaches the network, and changes nothing else for them (agent: ExecutionContext.cs). */
export function setProxyAndCertificates(variables: Variables, { proxy, certificates }: JobOptions): void {
  const set = (name: string, value: string | undefined, secret = false): void => {
    if (value !== undefined && value !== '') variables.set(name, value, { secret });
  };
  if (proxy !== undefined) {
    set('agent.proxyurl', proxy.url);
    set('agent.proxyusername', proxy.username);
    set('agent.proxypassword', proxy.password, true);
    if (proxy.bypass !== undefined) set('agent.proxybypasslist', JSON.stringify(proxy.bypass));
    set('agent.usebasicauthforproxy', 'False');
  }
  if (certificates !== undefined) {
    const { ca, clientCert, clientCertKey, clientCertArchive, clientCertPassword, skipValidation } = certificates;
    if (skipValidation === true) set('agent.skipcertvalidation', 'True');
    set('agent.cainfo', ca);
    // The agent hands on a client certificate in all its three forms, or not at all.
    if (clientCert && clientCertKey && clientCertArchive) {
      set('agent.clientcert', clientCert);
      set('agent.clientcertkey', clientCertKey);
      set('agent.clientcertarchive', clientCertArchive);
      set('agent.clientcertpassword', clientCertPassword, true);
    }
  }
}

/** Authorization parameters that the agent does not mask (agent: MaskingUtil.cs). Note what is not among them. */
const HARMLESS_PARAMETERS: ReadonlySet<string> = new Set([
  'role',
  'scope',
  'tenantid',
  'issuedat',
  'expiresat',
  'audience',
  'authenticationtype',
  'authorizationtype',
  'accesstokentype',
  'accesstokenfetchingmethod',
  'usewindowssecurity',
  'unsecured',
  'oauthaccesstokenissupplied',
  'completecallbackpayload',
  'acceptuntrustedcerts',
]);
