import { sameResource } from '../endpoint/names.ts';
import { type Cloud, type CloudName, type PresetName, presetNames } from './clouds.ts';

/**
 * The names by which tools request the resource of a preset besides that in clouds.ts, and in which cloud.
 *
 * Sources: azure-cli `cloud.py` (`endpoints.management`, which `az` asks for); for the application IDs, Microsoft
 * Learn, troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in.
 */
const otherNames: readonly (readonly [PresetName, CloudName | 'every cloud', string])[] = [
  ['arm', 'AzureCloud', 'https://management.core.windows.net'],
  ['arm', 'AzureUSGovernment', 'https://management.core.usgovcloudapi.net'],
  ['arm', 'AzureChinaCloud', 'https://management.core.chinacloudapi.cn'],
  ['arm', 'every cloud', '797f4846-ba00-4fd7-ba43-dac1f8f63013'],
  ['graph', 'every cloud', '00000003-0000-0000-c000-000000000000'],
  ['keyVault', 'every cloud', 'cfa8b339-82a2-471a-a3c9-0fc0be7a4093'],
  ['storage', 'every cloud', 'e406a681-f3d4-42a8-90b6-c2b029497af1'],
  ['sql', 'every cloud', '022907d3-0f1b-48f7-badc-1ba6abab6d66'],
  ['postgres', 'every cloud', '123cd850-d9df-40bd-94d5-c9f07b7fa203'],
  ['azureDevOps', 'AzureCloud', 'https://app.vssps.visualstudio.com'],
];

/**
 * Every name under which a tool may ask for the resource of a scope: its own, first; those of the preset that it belongs
 * to, also where the step wrote the resource out; and an application ID with `api://` and without.
 */
export function resourceNames(scope: string, cloud: Cloud): string[] {
  const own = scope.replace(/\/\.default$/, '');
  const names = new Set([own]);
  for (const preset of presetNames) {
    const group = namesOf(preset, cloud);
    if (group.some((name) => sameResource(name, own))) {
      for (const name of group) {
        names.add(name);
      }
    }
  }
  for (const name of [...names]) {
    const id = /^(?:api:\/\/)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/i.exec(name)?.[1];
    if (id !== undefined) {
      names.add(id).add(`api://${id}`);
    }
  }
  return [...names];
}

function namesOf(preset: PresetName, cloud: Cloud): string[] {
  const resource = cloud.resources[preset];
  const others = otherNames.filter(([of, where]) => of === preset && (where === cloud.name || where === 'every cloud'));
  return resource === undefined ? [] : [resource, ...others.map(([, , name]) => name)];
}
