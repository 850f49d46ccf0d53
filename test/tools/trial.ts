import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { decodeJwt } from 'jose';
import { type Cloud, startCloud } from '../cloud/cloud.ts';
import { realNames, runPipeline } from '../rehearsal.ts';
import type { Installed } from './install.ts';
import type { ToolName } from './list.ts';
import { exportsOf, pipelineOf, type Recipe } from './recipe.ts';

/** One recipe with one tool. */
export interface Trial {
  /** The tools that it needs; the first is the one that it is about. */
  tools: readonly [ToolName, ...ToolName[]];
  recipe: Recipe;
  /** What a user of the tool does with it here; for the table. */
  does: string;
  /** What the log must show. */
  shows: readonly RegExp[];
  /** The files that a checkout brings. */
  files?: Readonly<Record<string, string>>;
  /** Run the scripts once more after the first ID token's end: the tool ends with each command. Default false. */
  twice?: boolean;
  /** Seconds; default 20. The pause of a program, or between two runs, is two seconds longer. */
  idTokenLifetime?: number;
  /** Seconds; default 310, of which the libraries use ten: they renew five minutes before the end. */
  accessTokenLifetime?: number;
  /**
   * Minutes for which the tool presents what it once read from the file. With tokens that are shorter it is refused
   * once, for another resource; `--real-time` shows it with tokens of ten minutes.
   */
  keepsFileFor?: number;
  /** What else a service has to be there, and the environment that the tool needs to find it. */
  prepare?: (cloud: Cloud, folder: string) => Promise<Surroundings>;
}

export interface Surroundings {
  environment?: Record<string, string>;
  variables?: Record<string, string>;
  close?: () => Promise<void>;
}

/** What one trial showed. */
export interface Outcome {
  version: string;
  exported: string;
  /** The ID tokens with which an access token was got after the task's own. */
  idTokens: number;
  /** Whether a token was got after the end of the job's first ID token; undefined where none was asked for then. */
  outlived: boolean | undefined;
  /** How often a token was refused. */
  refused: number;
  unknownHosts: string[];
  faults: string[];
  log: string[];
}

/** What Azure DevOps' ID tokens live, in seconds. */
const REAL_LIFETIME = 600;

/** Seconds that a job may take beside its pause. */
const LONGEST = 240;

/**
 * Runs a recipe with its tool, at the real names of the services.
 * @param installed gives a tool, or throws
 * @param realTime gives ID tokens the ten minutes that they live in Azure DevOps
 */
export async function run(trial: Trial, installed: (name: ToolName) => Installed, realTime: boolean): Promise<Outcome> {
  const { accessTokenLifetime = 310 } = trial;
  const idTokenLifetime = realTime ? REAL_LIFETIME : (trial.idTokenLifetime ?? 20);
  const kits = trial.tools.map(installed);
  const folder = mkdtempSync(join(tmpdir(), 'tools-'));
  const cloud = await startCloud({
    idTokenLifetimeSeconds: idTokenLifetime,
    accessTokenLifetimeSeconds: accessTokenLifetime,
  });
  const names = realNames(cloud);
  let surroundings: Surroundings = {};
  let scripts = 0;
  let begun = Number.POSITIVE_INFINITY;
  try {
    surroundings = (await trial.prepare?.(cloud, folder)) ?? {};
    for (const [name, text] of Object.entries({ '.keep': '', ...trial.files })) {
      const file = join(folder, 'checkout', name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
    const job = await runPipeline(cloud, pipelineOf(trial.recipe, trial.twice ?? false), {
      ...names,
      cancel: AbortSignal.timeout((idTokenLifetime + LONGEST) * 1000),
      variables: { ...names.variables, ...surroundings.variables },
      scriptEnvironment: {
        ...Object.assign({}, ...kits.map(({ environment }) => environment)),
        PATH: [...kits.flatMap(({ path }) => path), process.env['PATH']].join(delimiter),
        RECIPE_FILES: join(folder, 'checkout'),
        PAUSE: String(idTokenLifetime + 2),
        HOME: folder,
        AWS_CA_BUNDLE: cloud.caFile,
        PIP_CERT: cloud.caFile,
        npm_config_cafile: cloud.caFile,
        ...surroundings.environment,
      },
      onLine({ text, time }) {
        // The first script is the checkout, and the second the first one of the recipe.
        if (text === 'Generating script.' && ++scripts === 2) begun = time.getTime();
      },
    });
    const used = usedTokens(cloud, begun);
    const expected = trial.keepsFileFor === undefined || realTime ? 0 : 1;
    // A refusal takes the place of one of the lines.
    const missing = trial.shows.filter((wanted) => !job.log.some((line) => wanted.test(line))).slice(expected);
    const faults = [
      ...(job.result === 'Succeeded' ? [] : [`the job ended as ${job.result}`]),
      ...missing.map((wanted) => `the log does not show ${String(wanted)}`),
      ...(used.refused === expected ? [] : [`${used.refused} tokens were refused`]),
      ...job.orphans.map(({ name }) => `${name} was left running`),
    ];
    return {
      version: kits[0]?.version ?? '',
      exported: exportsOf(trial.recipe),
      ...used,
      unknownHosts: job.unknownHosts,
      faults,
      log: job.log,
    };
  } finally {
    await surroundings.close?.();
    await cloud.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** What was presented after the task was through: to Entra, or to the token service of another cloud. */
function usedTokens(cloud: Cloud, begun: number): Pick<Outcome, 'idTokens' | 'outlived' | 'refused'> {
  const presented = cloud.requests.flatMap(({ form = {}, status, time }) => {
    const token = form['client_assertion'] ?? form['WebIdentityToken'] ?? form['subject_token'];
    return token === undefined ? [] : [{ token, time, granted: status === 200 }];
  });
  const firstEnd = Math.min(...presented.map(({ token }) => (decodeJwt(token).exp ?? 0) * 1000));
  const later = presented.filter(({ time }) => time >= begun);
  const granted = later.filter((one) => one.granted);
  const late = later.filter(({ time }) => time > firstEnd);
  return {
    idTokens: new Set(granted.map(({ token }) => token)).size,
    outlived: late.length === 0 ? undefined : late.some((one) => one.granted),
    refused: later.length - granted.length,
  };
}
