/**
 * What the `up` of a data directory tells the other commands, in `<data directory>/up.json` (mode 0600: it holds the embedded
 * database's URL). The file outlives a killed `up`; readers get it only while its process lives.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { processEnv } from './environment.ts';
import { lives } from './process-identity.ts';
import { registerUrlSecrets } from './secret-masking.ts';

const processSchema = z.object({ pid: z.number().int(), began: z.string() });

const upStateSchema = z.object({
  /** The process of `up` itself. */
  up: processSchema,
  /** False while it is starting. */
  ready: z.boolean(),
  /** `host:port`. */
  temporal: z.string(),
  /** Address of the Web UI; null for a server that `up` did not start. */
  ui: z.string().nullable(),
  namespace: z.string(),
  /** URL of the embedded PostgreSQL that serves as DESTINATION_URL; null where a destination is configured. */
  destinationUrl: z.string().nullable(),
  /** What must be ended if `up` was killed: role → process. */
  children: z.record(z.string(), processSchema),
});

export type UpState = Readonly<z.infer<typeof upStateSchema>>;

function stateFile(dataDir: string): string {
  return join(dataDir, 'up.json');
}

/** The state as last written, whether or not its `up` still lives; null if there is none or it can't be read. */
export function readLastUpState(dataDir: string): UpState | null {
  try {
    return upStateSchema.parse(JSON.parse(readFileSync(stateFile(dataDir), 'utf8')));
  } catch {
    return null;
  }
}

/** The `up` of this data directory that is ready now; null if none is. Never throws. */
export function readUpState(dataDir: string): UpState | null {
  const state = readLastUpState(dataDir);
  return state !== null && state.ready && lives(state.up) ? state : null;
}

/** Replaces the state in one step: a reader sees the old one or the new one. */
export function writeUpState(dataDir: string, state: UpState): void {
  mkdirSync(dataDir, { recursive: true });
  const next = `${stateFile(dataDir)}.${process.pid}`;
  writeFileSync(next, `${JSON.stringify(state, null, 2)}\n`, { mode: 0o600 });
  chmodSync(next, 0o600);
  renameSync(next, stateFile(dataDir));
}

export function removeUpState(dataDir: string): void {
  rmSync(stateFile(dataDir), { force: true });
}

/**
 * The variables for `${NAME}` references: the environment, with DESTINATION_URL from the `up` of the data directory where it is not set.
 * Registers the URL's password as a secret.
 */
export function referenceEnv(dataDir: string): Readonly<Record<string, string | undefined>> {
  const env = processEnv();
  const url = env.DESTINATION_URL || readUpState(dataDir)?.destinationUrl;
  if (!url) return env;
  registerUrlSecrets(url);
  return { ...env, DESTINATION_URL: url };
}
