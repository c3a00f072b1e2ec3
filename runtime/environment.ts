/**
 * The only reader of `process.env`. A variable that is set to the empty text counts as not set.
 */
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { TidemarkError } from '../schemas/errors.ts';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const text = z.string().optional();
const flag = z
  .enum(['1', '0', 'true', 'false', 'yes', 'no'])
  .optional()
  .transform((value) => value === '1' || value === 'true' || value === 'yes');

const environmentSchema = z.object({
  /** `host:port` of a Temporal server. Not set: the one of `tidemark up` in the data directory. */
  TEMPORAL_ADDRESS: text,
  TEMPORAL_NAMESPACE: text,
  TEMPORAL_API_KEY: text,
  /** On without certificates of its own where only this is set; an API key switches TLS on as well. */
  TEMPORAL_TLS: flag,
  TEMPORAL_TLS_SERVER_NAME: text,
  TEMPORAL_TLS_SERVER_CA_CERT_PATH: text,
  TEMPORAL_TLS_SERVER_CA_CERT_DATA: text,
  TEMPORAL_TLS_CLIENT_CERT_PATH: text,
  TEMPORAL_TLS_CLIENT_CERT_DATA: text,
  TEMPORAL_TLS_CLIENT_KEY_PATH: text,
  TEMPORAL_TLS_CLIENT_KEY_DATA: text,

  TIDEMARK_CONFIG: z.string().default('tidemark.yaml'),
  TIDEMARK_DATA_DIR: z.string().default('.tidemark'),
  TIDEMARK_CACHE_DIR: text,
  TIDEMARK_LOG_LEVEL: z.enum(LOG_LEVELS).default('info'),
  /** Where rows go if the file names no destination. */
  DESTINATION_URL: text,

  CI: z
    .string()
    .optional()
    .transform((value) => value !== undefined && value !== 'false' && value !== '0'),
});

/** The variables that Tidemark itself knows, parsed. Paths are as written, relative to the current directory. */
export type Environment = Readonly<z.output<typeof environmentSchema>>;

/** All variables, for `${NAME}` references in the configuration file. Read it at the moment of use. */
export function processEnv(): Readonly<Record<string, string | undefined>> {
  return process.env;
}

/** For a program that brings its own value and must not use the user's. Later reads, and child processes, do not see it. */
export function forgetVariable(name: string): void {
  delete process.env[name];
}

/** Throws `config.invalid` that names the variable, never its value. */
export function parseEnvironment(variables: Readonly<Record<string, string | undefined>>): Environment {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined && value !== ''));
  const parsed = environmentSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const name = String(parsed.error.issues[0]?.path[0] ?? 'environment');
  throw new TidemarkError('config.invalid', `The environment variable ${name} has a value that is not understood.`, {
    path: name,
    hint: name === 'TIDEMARK_LOG_LEVEL' ? `Use one of ${LOG_LEVELS.join(', ')}.` : 'Use 1 or 0, or remove the variable.',
  });
}

/** The environment as it is now. Cheap; throws like {@link parseEnvironment}. */
export function environment(): Environment {
  return parseEnvironment(process.env);
}

/** The data directory of `up`, absolute: the option if given, else `TIDEMARK_DATA_DIR`, else `.tidemark` here. */
export function dataDirectory(option?: string): string {
  return resolve(option ?? environment().TIDEMARK_DATA_DIR);
}

/** Where what was fetched once is kept, outside of any checkout. The bootstrap (plain JavaScript) finds it by the same rule. */
export function cacheDirectory(variables: Readonly<Record<string, string | undefined>> = process.env): string {
  if (variables.TIDEMARK_CACHE_DIR) return resolve(variables.TIDEMARK_CACHE_DIR);
  if (variables.XDG_CACHE_HOME) return join(variables.XDG_CACHE_HOME, 'tidemark');
  const home = variables.HOME || homedir();
  return home ? join(home, '.cache', 'tidemark') : join(tmpdir(), 'tidemark-cache');
}
