/** PostgreSQL for tests: one cluster for a run with a database for each test file, or a private one that a test may kill. */
import { chownSync, mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createOn, type PostgresDatabase } from './postgres-database.ts';
import { launch, programs, startPostgres, type PostgresServer } from './postgres-server.ts';
import { killFamily } from './process-family.ts';
import { runTool, serverUser } from './processes.ts';
import type { RunningProcess } from './processes.ts';
import { onFileEnd } from './release.ts';
import { scratchFolder, sharedServer } from './shared-server.ts';

export { PostgresDatabase, type TextRow } from './postgres-database.ts';
export { startPostgres, type PostgresServer } from './postgres-server.ts';

const STOP_MS = 60_000;

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
    this.#running = await launch(this.folder, { ...this.#settings, port: String(port) }, password, ids);
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
    standby.#running = await launch(standby.folder, { ...this.#settings, hot_standby: 'on' }, password, user ?? {});
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

/** A fresh database of the shared cluster, dropped at the end of the test file. */
export async function createDatabase(prefix: string): Promise<PostgresDatabase> {
  return createOn(await sharedPostgres(), prefix, true);
}
