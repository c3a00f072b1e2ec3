/**
 * The Temporal development server of `tidemark up`: its state in one SQLite file of the data directory, on 127.0.0.1 only.
 * Runs the binary that the installation brought; fetches nothing.
 */
import { accessSync, constants, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Connection } from '@temporalio/client';
import { TidemarkError } from '../schemas/errors.ts';
import { cacheDirectory, processEnv } from './environment.ts';
import type { ProcessIdentity } from './process-identity.ts';
import { SEARCH_ATTRIBUTES } from './search-attributes.ts';
import { programOnPath, serverCommand } from './server-account.ts';
import { startServer, throwIfInterrupted, untilReady, type ServerProcess } from './server-process.ts';

export interface TemporalServer {
  /** `host:port`. */
  readonly address: string;
  readonly ui: string;
  readonly namespace: string;
  readonly process: ServerProcess;
  stop(): Promise<void>;
}

export interface TemporalServerOptions {
  readonly databaseFile: string;
  readonly logFile: string;
  readonly port: number;
  readonly uiPort: number;
  readonly namespace: string;
  /** Told at once, long before it is ready, so that a killed start can be cleaned up. */
  readonly onSpawn?: (identity: ProcessIdentity) => void;
  /** Gives up the start; of no effect once it is ready. */
  readonly signal?: AbortSignal;
}

const READY_TIMEOUT_MS = 45_000;
/** A commit is one write and one fsync; with SQLite's default, a rollback journal, it is two files, four fsyncs and an unlink. */
const DATABASE_PRAGMAS = ['journal_mode=wal', 'synchronous=full'];
const STOP_WITHIN_MS = 3_000;
const START_ATTEMPTS = 2;

/** `temporal` on PATH, else the one in the cache. Throws `temporal.not_installed` with the ways to get one. */
export function temporalBinary(): string {
  const onPath = programOnPath('temporal');
  if (onPath !== null) return onPath;
  const cached = join(cacheDirectory(), 'bin', process.platform === 'win32' ? 'temporal.exe' : 'temporal');
  try {
    accessSync(cached, constants.X_OK);
    return cached;
  } catch {
    throw new TidemarkError('temporal.not_installed', 'There is no Temporal server program on this machine.', {
      hint: 'Run `npm install` again (it fetches or builds one), put `temporal` on the PATH (https://docs.temporal.io/cli), or set TEMPORAL_ADDRESS to a server of yours.',
    });
  }
}

function serverArguments(options: TemporalServerOptions): string[] {
  return [
    'server',
    'start-dev',
    '--ip=127.0.0.1',
    `--port=${options.port}`,
    `--ui-port=${options.uiPort}`,
    `--db-filename=${options.databaseFile}`,
    ...DATABASE_PRAGMAS.map((pragma) => `--sqlite-pragma=${pragma}`),
    `--namespace=${options.namespace}`,
    ...SEARCH_ATTRIBUTES.map((name) => `--search-attribute=${name}=Keyword`),
    '--log-level=warn',
    '--log-format=json',
  ];
}

async function answers(address: string, namespace: string): Promise<boolean> {
  let connection: Connection | null = null;
  try {
    connection = await Connection.connect({ address, connectTimeout: 2_000 });
    await connection.workflowService.describeNamespace({ namespace });
    return true;
  } catch {
    return false;
  } finally {
    await connection?.close();
  }
}

async function uiAnswers(ui: string): Promise<boolean> {
  try {
    return (await fetch(ui, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}

/** Ready means: the namespace answers and the Web UI is served. Throws `up.server_failed`, `temporal.not_installed`. */
export async function startTemporal(options: TemporalServerOptions): Promise<TemporalServer> {
  const binary = temporalBinary();
  mkdirSync(dirname(options.databaseFile), { recursive: true });
  const env = Object.fromEntries(Object.entries(processEnv()).filter(([name]) => !name.startsWith('TEMPORAL_')));
  const address = `127.0.0.1:${options.port}`;
  const ui = `http://127.0.0.1:${options.uiPort}`;
  for (let attempt = 1; attempt <= START_ATTEMPTS; attempt += 1) {
    const server = startServer(serverCommand(null, binary, serverArguments(options), 'TERM'), options.logFile, env);
    if (server === null) break;
    options.onSpawn?.(server.identity);
    const isReady = async (): Promise<boolean> => (await answers(address, options.namespace)) && (await uiAnswers(ui));
    if (await untilReady(server, isReady, READY_TIMEOUT_MS, options.signal)) {
      return { address, ui, namespace: options.namespace, process: server, stop: () => server.stop(['SIGTERM'], STOP_WITHIN_MS) };
    }
    await server.stop(['SIGTERM'], STOP_WITHIN_MS);
    throwIfInterrupted(options.signal);
  }
  throw new TidemarkError('up.server_failed', `The Temporal server did not start; its log is ${options.logFile}.`);
}
