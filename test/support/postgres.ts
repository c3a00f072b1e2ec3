/**
 * PostgreSQL for tests: one cluster for a run with a database for each test file, or a private one that a test may kill.
 * Values are read as the server's own text; nothing passes through a JavaScript number or Date.
 */
import { chownSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { servers } from './describe-with.ts';
import { killFamily } from './process-family.ts';
import { freePort, logTail, runTool, serverUser, startProcess, waitFor } from './processes.ts';
import type { RunningProcess } from './processes.ts';
import { onFileEnd } from './release.ts';
import { scratchFolder, sharedServer, uniqueName } from './shared-server.ts';

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

export type TextRow = readonly (string | null)[];

const STOP_MS = 60_000;

const asText = { getTypeParser: () => (value: string | Buffer) => value.toString() };

/** One database of a server and a pool of connections to it, as its superuser. */
export class PostgresDatabase {
  readonly server: PostgresServer;
  readonly name: string;
  readonly #pool: pg.Pool;

  constructor(server: PostgresServer, name: string) {
    this.server = server;
    this.name = name;
    this.#pool = new pg.Pool({ ...this.clientOptions(), max: 4, idleTimeoutMillis: 1000, allowExitOnIdle: true });
    this.#pool.on('error', () => undefined);
  }

  clientOptions(): pg.ClientConfig {
    const { host, port, user, password } = this.server;
    return { host, port, user, password, database: this.name, types: asText, options: '-c timezone=UTC -c datestyle=ISO' };
  }

  get url(): string {
    const { host, port, user, password } = this.server;
    return `postgresql://${user}:${password}@${host}:${port}/${this.name}`;
  }

  /** What stands under `connection:` of a source, as YAML flow text; {@link secrets} has the variable. */
  get connection(): string {
    const { host, port, user } = this.server;
    return `{ host: ${host}, port: ${port}, database: ${this.name}, user: ${user}, password: "\${POSTGRES_PASSWORD}" }`;
  }

  get secrets(): Record<string, string> {
    return { POSTGRES_PASSWORD: this.server.password };
  }

  /** Rows as objects of text. Several statements may stand in `sql` where there are no parameters. */
  async query(sql: string, parameters: readonly unknown[] = []): Promise<Record<string, string>[]> {
    const result = (await this.#pool.query(sql, parameters.length === 0 ? undefined : [...parameters])) as pg.QueryResult | pg.QueryResult[];
    const last = Array.isArray(result) ? result.at(-1) : result;
    return (last?.rows ?? []) as Record<string, string>[];
  }

  /** First column of the first row. */
  async value(sql: string, parameters: readonly unknown[] = []): Promise<string | null> {
    const row = (await this.query(sql, parameters))[0];
    return row === undefined ? null : (Object.values(row)[0] ?? null);
  }

  /** A connection of its own, for open transactions; closed at the end of the test file where the test did not. */
  async client(): Promise<pg.Client> {
    const client = new pg.Client(this.clientOptions());
    client.on('error', () => undefined);
    await client.connect();
    onFileEnd(() => client.end().catch(() => undefined));
    return client;
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
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
function programs(folder: string): string {
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
  return launch(folder, { ...SETTINGS, ...settings }, password, ids);
}

async function launch(folder: string, settings: Readonly<Record<string, string>>, password: string, ids: { uid?: number; gid?: number }): Promise<PostgresServer & { process: RunningProcess }> {
  const dataFolder = join(folder, 'data');
  const log = join(folder, 'postgres.log');
  const port = settings['port'] === undefined ? await freePort() : Number(settings['port']);
  const args = ['-D', dataFolder, '-p', String(port), ...Object.entries(settings).filter(([name]) => name !== 'port').flatMap(([name, value]) => ['-c', `${name}=${value}`])];
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

/** A server of this test's own, which it may stop, kill and start again; ends with the test file. */
export class PrivatePostgres {
  readonly folder: string;
  readonly #settings: Readonly<Record<string, string>>;
  #running: (PostgresServer & { process: RunningProcess }) | null = null;

  private constructor(folder: string, settings: Readonly<Record<string, string>>) {
    this.folder = folder;
    this.#settings = settings;
  }

  static async start(settings: Readonly<Record<string, string>> = {}): Promise<PrivatePostgres> {
    const server = new PrivatePostgres(scratchFolder('postgres'), settings);
    server.#running = await startPostgres(server.folder, settings);
    onFileEnd(async () => {
      await server.stop();
      // Room for the servers to come; what can't be removed now goes with the run's folder.
      await rm(join(server.folder, 'data'), { recursive: true, force: true }).catch(() => undefined);
    });
    return server;
  }

  /** Where rows that are read are counted: others' transactions, and autovacuum's, have a part in where a read begins. */
  static quiet(): Promise<PrivatePostgres> {
    return PrivatePostgres.start({ autovacuum: 'off' });
  }

  get server(): PostgresServer {
    if (this.#running === null) throw new Error('not started');
    return this.#running;
  }

  /** As a power cut: all of its processes at once. */
  async kill(): Promise<void> {
    if (this.#running?.process.running) await killFamily(this.#running.pid);
    await this.#running?.process.kill();
  }

  /** Patient: of a server that is ended by force the sessions live on for a while, and none can be started in its place. */
  async stop(): Promise<void> {
    await this.#running?.process.stop(STOP_MS);
  }

  /** As `pg_ctl stop -m immediate`: no session ends its work, the next start recovers from the log. */
  async stopAtOnce(): Promise<void> {
    await this.#running?.process.kill('SIGQUIT');
  }

  /** Starts the same cluster on the same port. */
  async restart(): Promise<void> {
    const { port, password } = this.server;
    const ids = serverUser(['postgres', 'nobody']) ?? {};
    this.#running = await launch(this.folder, { ...SETTINGS, ...this.#settings, port: String(port) }, password, ids);
  }

  async createDatabase(prefix: string): Promise<PostgresDatabase> {
    return createOn(this.server, prefix, false);
  }

  /** A hot standby that streams from this server, and goes on answering reads when this one is gone. Ends with the test file. */
  async standby(): Promise<PrivatePostgres> {
    const { port, password } = this.server;
    const standby = new PrivatePostgres(scratchFolder('standby'), this.#settings);
    const user = serverUser(['postgres', 'nobody']);
    const data = join(standby.folder, 'data');
    mkdirSync(data, { mode: 0o700 });
    if (user !== null) chownSync(data, user.uid, user.gid);
    const args = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-D', data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync'];
    runTool(join(programs(standby.folder), 'pg_basebackup'), args, { ...user, cwd: standby.folder, env: { PGPASSWORD: password } });
    standby.#running = await launch(standby.folder, { ...SETTINGS, ...this.#settings, hot_standby: 'on' }, password, user ?? {});
    onFileEnd(() => standby.stop());
    return standby;
  }
}

/** The cluster of this jest run. */
export async function sharedPostgres(): Promise<PostgresServer> {
  return sharedServer('postgres', async (folder) => {
    const { process: _process, ...server } = await startPostgres(folder);
    return server;
  });
}

async function createOn(server: PostgresServer, prefix: string, drop: boolean): Promise<PostgresDatabase> {
  const admin = new PostgresDatabase(server, 'postgres');
  const name = uniqueName(prefix);
  await admin.query(`CREATE DATABASE "${name}" TEMPLATE template0`);
  const database = new PostgresDatabase(server, name);
  onFileEnd(async () => {
    await database.close();
    if (drop) await dropped(admin, name);
    await admin.close();
  });
  return database;
}

/** The server waits five seconds for the sessions that it has told to end, and then refuses. */
async function dropped(admin: PostgresDatabase, name: string): Promise<void> {
  const inUse = '55006';
  const drop = async (): Promise<true | null> => {
    try {
      await admin.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code !== inUse) throw error;
      return null;
    }
  };
  await waitFor(`the sessions of ${name} to end`, drop);
}

/** A fresh database of the shared cluster, dropped at the end of the test file. */
export async function createDatabase(prefix: string): Promise<PostgresDatabase> {
  return createOn(await sharedPostgres(), prefix, true);
}
