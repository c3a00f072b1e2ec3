/** A PostgreSQL cluster in a folder, and its process. */
import { chownSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { servers } from './describe-with.ts';
import { freePort, logTail, runTool, serverUser, startProcess, waitFor } from './processes.ts';
import type { RunningProcess } from './processes.ts';
import { uniqueName } from './shared-server.ts';

export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  /** A superuser. */
  readonly user: string;
  readonly password: string;
  readonly dataFolder: string;
  readonly log: string;
  readonly pid: number;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  max_connections: '200',
  max_prepared_transactions: '10',
  shared_buffers: '128MB',
  max_wal_size: '1GB',
  timezone: 'UTC',
};

/** The folder of the programs, at a place where the server's own user may run them: a checkout may lie in a closed home. */
export function programs(folder: string): string {
  const bin = servers.postgres;
  if (bin === null) throw new Error('no PostgreSQL: guard the test with describeWith({ postgres: true }, …)');
  if (!bin.includes('node_modules') || process.getuid?.() !== 0) return bin;
  const copy = join(folder, 'native');
  if (!existsSync(copy)) cpSync(join(bin, '..'), copy, { recursive: true, dereference: true });
  return join(copy, 'bin');
}

/** Makes a cluster in `folder` and starts it. `settings` as in postgresql.conf. */
export async function startPostgres(folder: string, settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer & { process: RunningProcess }> {
  const user = serverUser(['postgres', 'nobody']);
  const ids = user ?? {};
  const password = `pw-${uniqueName('t')}-${Math.random().toString(36).slice(2)}`;
  const dataFolder = join(folder, 'data');
  const passwordFile = join(folder, 'password');
  mkdirSync(dataFolder, { mode: 0o700 });
  writeFileSync(passwordFile, password);
  if (user !== null) for (const path of [dataFolder, passwordFile]) chownSync(path, user.uid, user.gid);
  const bin = programs(folder);
  const initdb = ['-D', dataFolder, '-U', 'postgres', '-A', 'scram-sha-256', `--pwfile=${passwordFile}`, '-E', 'UTF8', '--locale=C.UTF-8', '--no-sync', '--no-instructions'];
  runTool(join(bin, 'initdb'), initdb, { ...ids, cwd: folder });
  return launch(folder, settings, password, ids);
}

/** Starts the cluster of `folder`. `settings` come before those of a test's server; `port`: where it is to be the same again. */
export async function launch(folder: string, settings: Readonly<Record<string, string>>, password: string, ids: { uid?: number; gid?: number }): Promise<PostgresServer & { process: RunningProcess }> {
  const dataFolder = join(folder, 'data');
  const log = join(folder, 'postgres.log');
  const port = settings['port'] === undefined ? await freePort() : Number(settings['port']);
  const args = ['-D', dataFolder, '-p', String(port), ...Object.entries({ ...SETTINGS, ...settings }).filter(([name]) => name !== 'port').flatMap(([name, value]) => ['-c', `${name}=${value}`])];
  const running = startProcess(join(programs(folder), 'postgres'), { args, log, stopSignal: 'SIGINT', cwd: folder, ...ids });
  const server = { host: '127.0.0.1', port, user: 'postgres', password, dataFolder, log, pid: running.pid };
  await waitFor('PostgreSQL', () => answers(server, running), 60_000, log);
  return { ...server, process: running };
}

async function answers(server: PostgresServer, running: RunningProcess): Promise<true | null> {
  if (!running.running) throw new Error(`PostgreSQL ended:\n${logTail(server.log)}`);
  const { host, port, user, password } = server;
  const client = new pg.Client({ host, port, user, password, database: 'postgres' });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return null;
  } finally {
    await client.end().catch(() => undefined);
  }
}
