/**
 * The embedded PostgreSQL of `tidemark up`: one cluster in one folder, reachable from this machine with a random password only.
 *
 * Folder: `data` (the cluster), `password` and `port` (kept, so that the URL stays the same from start to start).
 */
import { chmodSync, chownSync, existsSync, lchownSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { TidemarkError } from '../schemas/errors.ts';
import { processEnv } from './environment.ts';
import { postgresBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { freePort } from './ports.ts';
import { endProcess, identify, type ProcessIdentity } from './process-identity.ts';
import { registerSecret } from './secret-masking.ts';
import { chooseAccount, serverCommand, type ServerAccount } from './server-account.ts';
import { startServer, throwIfInterrupted, untilReady, type ServerProcess } from './server-process.ts';

export interface PostgresServer {
  /** URL of the database `tidemark` with the password in it. */
  readonly url: string;
  readonly process: ServerProcess;
  /** URL of another database of the same server. */
  urlOf(database: string): string;
  /** A fast shutdown: open transactions are rolled back, the files are consistent. */
  stop(): Promise<void>;
}

export interface PostgresServerOptions {
  readonly folder: string;
  readonly logFile: string;
  /** Told at once, long before it is ready, so that a killed start can be cleaned up. */
  readonly onSpawn?: (identity: ProcessIdentity) => void;
  /** Gives up the start; of no effect once it is ready. */
  readonly signal?: AbortSignal;
}

const USER = 'tidemark';
const DATABASE = 'tidemark';
const START_ATTEMPTS = 5;
const READY_TIMEOUT_MS = 45_000;
const STOP_WITHIN_MS = 2_000;
const INITDB_TIMEOUT_MS = 60_000;

/** Errors of statements quote rows, so the server's own log leaves them out. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'fsync=on',
  'timezone=UTC',
  'log_timezone=UTC',
  'logging_collector=off',
  'log_min_messages=log',
  'log_min_error_statement=panic',
  'log_parameter_max_length_on_error=0',
  'log_checkpoints=off',
  'max_prepared_transactions=16',
];

interface Cluster extends PostgresServerOptions {
  readonly binaries: PostgresBinaries;
  readonly account: ServerAccount | null;
  readonly password: string;
  readonly data: string;
}

/** `PG*` variables of the user must not steer this server or its initdb. */
function serverEnv(): NodeJS.ProcessEnv {
  const env = Object.fromEntries(Object.entries(processEnv()).filter(([name]) => !name.startsWith('PG')));
  return { ...env, LC_ALL: 'C', TZ: 'UTC' };
}

function failed(message: string, cause?: unknown): TidemarkError {
  return new TidemarkError('up.server_failed', message, { cause });
}

/** Written by root it belongs to the account, so that initdb can read it; nobody else can. */
function keptPassword(folder: string): string {
  const file = join(folder, 'password');
  if (!existsSync(file)) writeFileSync(file, `${randomBytes(24).toString('base64url')}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  const password = readFileSync(file, 'utf8').trim();
  registerSecret(password);
  return password;
}

function openCluster(options: PostgresServerOptions): Cluster {
  const { folder } = options;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const binaries = postgresBinaries();
  const password = keptPassword(folder);
  const account = chooseAccount(folder, binaries.postgres, (uid, gid) => {
    chownSync(folder, uid, gid);
    lchownSync(join(folder, 'password'), uid, gid);
  });
  return { ...options, binaries, account, password, data: join(folder, 'data') };
}

/** Into a folder beside, renamed when complete: a killed first start leaves nothing half made. */
async function initialise(cluster: Cluster): Promise<void> {
  if (existsSync(join(cluster.data, 'PG_VERSION'))) return;
  const fresh = join(cluster.folder, 'data.new');
  rmSync(fresh, { recursive: true, force: true });
  const { file, args, options } = serverCommand(cluster.account, cluster.binaries.initdb, [
    `--pgdata=${fresh}`,
    `--username=${USER}`,
    `--pwfile=${join(cluster.folder, 'password')}`,
    '--auth=scram-sha-256',
    '--encoding=UTF8',
    '--no-locale',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
  ], 'TERM');
  try {
    await promisify(execFile)(file, [...args], { cwd: '/', env: serverEnv(), timeout: INITDB_TIMEOUT_MS, signal: cluster.signal, ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }) });
  } catch (cause) {
    throwIfInterrupted(cluster.signal);
    throw failed(`The embedded PostgreSQL could not be initialised in ${cluster.folder}.`, cause);
  }
  rmSync(cluster.data, { recursive: true, force: true });
  renameSync(fresh, cluster.data);
}

function checkVersion(cluster: Cluster): void {
  const made = readFileSync(join(cluster.data, 'PG_VERSION'), 'utf8').trim();
  const manifest = readFileSync(join(cluster.binaries.postgres, '..', '..', '..', 'package.json'), 'utf8');
  const runs = String((JSON.parse(manifest) as { version: string }).version).split('.')[0];
  if (made === runs) return;
  throw new TidemarkError('up.data_dir_unusable', `The database in ${cluster.data} was made by PostgreSQL ${made}; this is ${runs}.`, {
    hint: 'Use another --data-dir, or the version of Tidemark that made it.',
  });
}

/** The postmaster that a killed predecessor left behind, by the cluster's own lock file. */
function leftBehind(data: string): ProcessIdentity | null {
  try {
    const pid = Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    const command = process.platform === 'linux' ? readFileSync(`/proc/${pid}/cmdline`, 'utf8') : data;
    return command.includes(data) ? identify(pid) : null;
  } catch {
    return null;
  }
}

async function connects(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function ensureDatabase(adminUrl: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: adminUrl });
  await client.connect();
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${client.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}

async function launch(cluster: Cluster, port: number, url: string): Promise<ServerProcess | null> {
  const flags = SETTINGS.flatMap((setting) => ['-c', setting]);
  const command = serverCommand(cluster.account, cluster.binaries.postgres, ['-D', cluster.data, '-p', String(port), ...flags], 'INT');
  const server = startServer(command, cluster.logFile, serverEnv());
  if (server === null) return null;
  cluster.onSpawn?.(server.identity);
  if (await untilReady(server, () => connects(url), READY_TIMEOUT_MS, cluster.signal)) return server;
  await server.stop(['SIGINT', 'SIGQUIT'], STOP_WITHIN_MS);
  return null;
}

/**
 * Starts the cluster of `folder`, making it at the first time and ending what a killed predecessor left of it.
 * Throws `up.server_failed`, `up.data_dir_unusable`. The caller makes sure that nobody else uses the folder.
 */
export async function startPostgres(options: PostgresServerOptions): Promise<PostgresServer> {
  const cluster = openCluster(options);
  const old = leftBehind(cluster.data);
  if (old !== null) await endProcess(old, ['SIGINT', 'SIGQUIT'], STOP_WITHIN_MS);
  throwIfInterrupted(cluster.signal);
  await initialise(cluster);
  checkVersion(cluster);

  const portFile = join(cluster.folder, 'port');
  const keptPort = existsSync(portFile) ? Number(readFileSync(portFile, 'utf8')) : undefined;
  // A killed postmaster's backends need a moment to notice, and until then the shared memory is taken.
  for (let attempt = 1; attempt <= START_ATTEMPTS; attempt += 1) {
    const port = await freePort(keptPort);
    const urlOf = (database: string): string => `postgresql://${USER}:${cluster.password}@127.0.0.1:${port}/${encodeURIComponent(database)}`;
    const server = await launch(cluster, port, urlOf('postgres'));
    if (server !== null) {
      writeFileSync(portFile, `${port}\n`);
      await ensureDatabase(urlOf('postgres'), DATABASE);
      return { url: urlOf(DATABASE), process: server, urlOf, stop: () => server.stop(['SIGINT', 'SIGQUIT'], STOP_WITHIN_MS) };
    }
    throwIfInterrupted(cluster.signal);
    await sleep(1_000);
  }
  throw failed(`The embedded PostgreSQL did not start; its log is ${cluster.logFile}.`);
}
