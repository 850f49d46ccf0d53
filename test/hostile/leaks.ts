import type { JobResult } from '../agent/job.ts';
import type { Cloud } from '../cloud/cloud.ts';

/** A text as long as this that a secret contains gives the secret away. Characters. */
const PIECE = 24;

/** A secret that nothing may show, and what to call it where it is found. */
export interface KnownSecret {
  name: string;
  value: string;
}

/** The forms in which a secret could be shown: as it is, in Base64 at each offset, URL-encoded, JSON-escaped and so on. */
function forms({ value }: KnownSecret): string[] {
  const bytes = Buffer.from(value);
  const shifted = [0, 1, 2].flatMap((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset, 'x'), bytes]).toString('base64');
    // What the bytes before and after it take part in is not the secret's own.
    const own = text.slice(Math.ceil((offset * 4) / 3), Math.floor(((offset + bytes.length) * 4) / 3));
    return [own, own.replaceAll('+', '-').replaceAll('/', '_')];
  });
  return [
    value,
    ...shifted,
    encodeURIComponent(value),
    new URLSearchParams({ '': value }).toString().slice(1),
    JSON.stringify(value).slice(1, -1),
    // As the data of an agent command.
    value.replaceAll('%', '%AZP25'),
    bytes.toString('hex'),
  ];
}

/** Finds pieces of secrets. A piece is {@link PIECE} characters of any form, or all of a form that is shorter. */
export class LeakSearch {
  readonly #pieces = new Map<string, string>();
  readonly #short = new Map<string, string>();

  constructor(secrets: readonly KnownSecret[]) {
    for (const secret of secrets) {
      if (secret.value === '') throw new Error(`${secret.name} is empty, so nothing would be searched for`);
      for (const form of forms(secret)) {
        if (form.length < PIECE) this.#short.set(form, secret.name);
        for (let at = 0; at + PIECE <= form.length; at++) this.#pieces.set(form.slice(at, at + PIECE), secret.name);
      }
    }
  }

  /** The names of the secrets that show in a text, each with what stands around it. */
  find(text: string): string[] {
    const found: string[] = [];
    const report = (name: string, at: number) =>
      found.push(`${name} in: …${text.slice(Math.max(0, at - 60), at + PIECE + 20)}…`);
    for (let at = 0; at + PIECE <= text.length; at++) {
      const name = this.#pieces.get(text.slice(at, at + PIECE));
      if (name !== undefined) {
        report(name, at);
        at += PIECE;
      }
    }
    for (const [form, name] of this.#short) {
      const at = text.indexOf(form);
      if (at >= 0) report(name, at);
    }
    return found;
  }
}

/** The lines by which a task tells the agent a secret, which the agent carries out and never prints. */
const TELLS_A_SECRET = /^##vso\[task\.(?:setsecret\]|set(?:variable|taskvariable) [^\]]*issecret=true)/i;

/** Every text of a job that a person, or a program that is not to know the secrets, can read; with where it stands. */
export function visibleTexts(result: JobResult): [where: string, text: string][] {
  const visible: [string, string][] = [['log', result.log.join('\n')]];
  for (const step of result.steps) {
    const where = `${step.name} (${step.stage})`;
    for (const stream of ['stdout', 'stderr'] as const) {
      const lines = step.rawOutput[stream].split(/\r\n|\r|\n/).filter((line) => !TELLS_A_SECRET.test(line));
      visible.push([`${where} ${stream}`, lines.join('\n')]);
    }
    visible.push([`${where} issues`, JSON.stringify(step.issues)]);
    visible.push([`${where} operation`, step.currentOperation ?? '']);
    visible.push([`${where} attachments`, JSON.stringify(step.attachments)]);
  }
  const open = Object.entries(result.variables).filter(([, { secret }]) => !secret);
  visible.push(['variables', open.map(([name, { value }]) => `${name}=${value}`).join('\n')]);
  const outputs = Object.entries(result.outputs).filter(([, { secret }]) => !secret);
  visible.push(['outputs', outputs.map(([name, { value }]) => `${name}=${value}`).join('\n')]);
  visible.push(['files', result.leftover.join('\n')]);
  return visible;
}

/** The secrets that a job had: its own token, the ID tokens that Entra was shown, and all that the task had masked. */
export function secretsOf(cloud: Pick<Cloud, 'requests' | 'job'>, result: JobResult): KnownSecret[] {
  const jobToken = { name: 'job token', value: cloud.job.jobToken };
  const assertions = cloud.requests.flatMap(({ form }) => {
    const value = form?.['client_assertion'];
    return value === undefined || value === '' ? [] : [{ name: 'ID token', value }];
  });
  const secretOutputs = Object.entries(result.outputs).flatMap(([name, { value, secret }]) =>
    secret && value.length >= 16 ? [{ name: `output ${name}`, value }] : [],
  );
  const masked = result.steps.flatMap(({ rawOutput }) =>
    [...rawOutput.stdout.matchAll(/^##vso\[task\.setsecret\](eyJ[\w-]+\.[\w-]+\.[\w-]+)$/gm)].map(([, value = '']) => ({
      name: 'masked token',
      value,
    })),
  );
  return [jobToken, ...assertions, ...secretOutputs, ...masked];
}

/** A JSON Web Token that nobody told us of is one too. */
const LOOKS_LIKE_A_JWT = /eyJ[\w-]{16,}/;

/** Where a job shows a secret; empty where it shows none. */
export function leaksOf(result: JobResult, secrets: readonly KnownSecret[]): string[] {
  const search = new LeakSearch(secrets);
  return visibleTexts(result).flatMap(([where, text]) => {
    const found = search.find(text);
    const jwt = LOOKS_LIKE_A_JWT.exec(text)?.[0];
    return [...found, ...(jwt === undefined ? [] : [`a JWT in: ${jwt}`])].map((what) => `${where}: ${what}`);
  });
}
