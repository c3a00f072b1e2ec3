/**
 * MariaDB for tests: one server for a run with a database for each test file, or a private one that a test may kill.
 * Values are read as the server's own text.
 */
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import mysql from 'mysql2/promise';
import { servers } from './describe-with.ts';
import { freePort, logTail, runTool, serverUser, startProcess, waitFor } from './processes.ts';
import type { RunningProcess } from './processes.ts';
import { onFileEnd } from './release.ts';
import { scratchFolder, sharedServer, uniqueName } from './shared-server.ts';
import { which } from './find-servers.js';

export interface MariadbServer {
  readonly host: string;
  readonly port: number;
  /** A user with all privileges, from every host. */
  readonly user: string;
  readonly password: string;
  readonly log: string;
  readonly pid: number;
}

const OPTIONS = [
  '--bind-address=127.0.0.1',
  '--innodb-buffer-pool-size=128M',
  '--innodb-flush-log-at-trx-commit=0',
  '--innodb-flush-method=nosync',
  '--skip-log-bin',
  '--max-connections=150',
  '--local-infile=1',
  '--performance-schema=OFF',
];

export class MariadbDatabase {
  readonly server: MariadbServer;
  readonly name: string;
  readonly #pool: mysql.Pool;

  constructor(server: MariadbServer, name: string) {
    this.server = server;
    this.name = name;
    this.#pool = mysql.createPool({ ...this.clientOptions(), connectionLimit: 4, maxIdle: 0, idleTimeout: 1000 });
  }

  clientOptions(): mysql.ConnectionOptions {
    const { host, port, user, password } = this.server;
    return { host, port, user, password, database: this.name, multipleStatements: true, timezone: 'Z', typeCast: (field) => field.string(), charset: 'utf8mb4' };
  }

  /** What stands under `connection:` of a source, as YAML flow text; {@link secrets} has the variable. */
  get connection(): string {
    const { host, port, user } = this.server;
    return `{ host: ${host}, port: ${port}, database: ${this.name}, user: ${user}, password: "\${MARIADB_PASSWORD}" }`;
  }

  get secrets(): Record<string, string> {
    return { MARIADB_PASSWORD: this.server.password };
  }

  /** Resolves when the server is done with the statement, see {@link untilDone}. */
  async query(sql: string): Promise<Record<string, string>[]> {
    const connection = await this.#pool.getConnection();
    try {
      const [rows] = await connection.query(sql);
      await untilDone(connection);
      return Array.isArray(rows) ? (rows as Record<string, string>[]) : [];
    } finally {
      connection.release();
    }
  }

  async value(sql: string): Promise<string | null> {
    const row = (await this.query(sql))[0];
    return row === undefined ? null : (Object.values(row)[0] ?? null);
  }

  /** A connection of its own, for open transactions; closed at the end of the test file where the test did not. Its statements end as those of {@link query}. */
  async client(): Promise<mysql.Connection> {
    const connection = await mysql.createConnection(this.clientOptions());
    const query = connection.query.bind(connection) as (...statement: unknown[]) => Promise<unknown>;
    connection.query = (async (...statement: unknown[]) => {
      const answer = await query(...statement);
      await untilDone(connection);
      return answer;
    }) as typeof connection.query;
    await connection.query("SET time_zone = '+00:00'");
    onFileEnd(() => connection.destroy());
    return connection;
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

/**
 * The server answers a statement a moment before it takes it out of its process list, where a reader would take it for one under way and read
 * back for it. It answers a ping when it is done with what came before. A connection that was ended meanwhile has nothing under way.
 */
async function untilDone(connection: mysql.Connection): Promise<void> {
  await connection.ping().catch(() => undefined);
}

export async function startMariadb(folder: string, options: readonly string[] = []): Promise<MariadbServer & { process: RunningProcess }> {
  const program = servers.mariadb;
  const install = which('mariadb-install-db');
  if (program === null || install === null) throw new Error('no MariaDB: guard the test with describeWith({ mariadb: true }, …)');
  const user = serverUser(['mysql', 'nobody']);
  const ids = user ?? {};
  const dataFolder = join(folder, 'data');
  const password = `pw-${uniqueName('t')}-${Math.random().toString(36).slice(2)}`;
  const init = join(folder, 'init.sql');
  const tmpFolder = tmpOf(folder);
  for (const path of [dataFolder, tmpFolder]) mkdirSync(path, { mode: 0o700 });
  // The anonymous user would shadow 'tidemark'@'%' on localhost.
  writeFileSync(init, `DELETE FROM mysql.global_priv WHERE User = '';\nFLUSH PRIVILEGES;\nCREATE OR REPLACE USER 'tidemark'@'%' IDENTIFIED BY '${password}';\nGRANT ALL ON *.* TO 'tidemark'@'%' WITH GRANT OPTION;\n`);
  for (const path of [dataFolder, tmpFolder, init]) if (user !== null) chownSync(path, user.uid, user.gid);
  const basedir = join(dirname(install), '..');
  runTool(install, ['--no-defaults', `--basedir=${basedir}`, `--datadir=${dataFolder}`, `--tmpdir=${tmpFolder}`, '--skip-test-db', '--auth-root-authentication-method=normal', '--skip-log-bin'], { ...ids, cwd: folder });
  return launch(folder, await freePort(), password, options);
}

/** A server that starts removes all temporary tables that it finds: another one whose query is using them at that moment crashes. */
function tmpOf(folder: string): string {
  return join(folder, 'mariadb-tmp');
}

async function launch(folder: string, port: number, password: string, options: readonly string[]): Promise<MariadbServer & { process: RunningProcess }> {
  const [dataFolder, log] = [join(folder, 'data'), join(folder, 'mariadb.log')];
  const args = ['--no-defaults', `--datadir=${dataFolder}`, `--tmpdir=${tmpOf(folder)}`, `--port=${port}`, `--socket=${join(dataFolder, 's')}`, `--pid-file=${join(dataFolder, 'pid')}`, `--init-file=${join(folder, 'init.sql')}`, ...OPTIONS, ...options];
  const running = startProcess(servers.mariadb ?? '', { args, log, cwd: folder, ...serverUser(['mysql', 'nobody']) });
  const server = { host: '127.0.0.1', port, user: 'tidemark', password, log, pid: running.pid };
  await waitFor('MariaDB', () => answers(server, running), 60_000, log);
  return { ...server, process: running };
}

/** Starts the server of `folder` again, on the same port; the one before has ended. */
export async function restartMariadb(folder: string, before: MariadbServer, options: readonly string[] = []): Promise<MariadbServer & { process: RunningProcess }> {
  return launch(folder, before.port, before.password, options);
}

async function answers(server: MariadbServer, running: RunningProcess): Promise<true | null> {
  if (!running.running) throw new Error(`MariaDB ended:\n${logTail(server.log)}`);
  const { host, port, user, password } = server;
  try {
    const connection = await mysql.createConnection({ host, port, user, password, connectTimeout: 2000 });
    connection.destroy();
    return true;
  } catch {
    return null;
  }
}

export async function sharedMariadb(): Promise<MariadbServer> {
  return sharedServer('mariadb', async (folder) => {
    const { process: _process, ...server } = await startMariadb(folder);
    return server;
  });
}

/** A server of this test's own; ends with the test file. */
export async function privateMariadb(options: readonly string[] = []): Promise<MariadbServer & { process: RunningProcess }> {
  const server = await startMariadb(scratchFolder('mariadb'), options);
  onFileEnd(async () => void (await server.process.stop()));
  return server;
}

/** A server of this test's own that does nothing by itself: InnoDB's statistics are kept up to date in transactions, which a reader sees as open. */
export function quietMariadb(): Promise<MariadbServer> {
  return privateMariadb(['--innodb-stats-auto-recalc=OFF']);
}

/**
 * A fresh database, dropped at the end of the test file; of the shared server unless another is given. Who counts what is read wants a server of
 * its own ({@link quietMariadb}): a reader there sees the open transactions of all databases, those of other test files too, and reads again for them.
 */
export async function createMariadb(prefix: string, on?: MariadbServer): Promise<MariadbDatabase> {
  const server = on ?? (await sharedMariadb());
  const name = uniqueName(prefix);
  const admin = new MariadbDatabase(server, 'mysql');
  await admin.query(`CREATE DATABASE \`${name}\` CHARACTER SET utf8mb4`);
  const database = new MariadbDatabase(server, name);
  onFileEnd(async () => {
    await database.close();
    await admin.query(`DROP DATABASE IF EXISTS \`${name}\``);
    await admin.close();
  });
  return database;
}
