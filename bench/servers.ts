/** The servers of one bench: each started when a case first asks for it, ended with the process by the watchdog that tests have. */
import { DerbyDatabase, startDerby } from '../test/support/derby.ts';
import { mariadbOf, type MariadbDatabase } from './mariadb-source.ts';
import { PostgresDatabase, startPostgres, type PostgresServer } from '../test/support/postgres.ts';
import { scratchFolder, uniqueName } from '../test/support/shared-server.ts';

/** As a bank runs it: every commit is on disk before it is told. The sizes fit a small machine. */
export const DURABLE = { fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on', shared_buffers: '1GB', max_wal_size: '8GB', checkpoint_timeout: '30min' };

export class Bench {
  #source: Promise<PostgresServer> | null = null;
  #destination: Promise<PostgresServer> | null = null;
  #mariadb: Promise<MariadbDatabase> | null = null;
  #derby: Promise<DerbyDatabase> | null = null;
  /** What cases that run one after another share: a table is generated once for each number of rows. */
  readonly kept = new Map<string, Promise<unknown>>();

  /** The cluster that rows come from; another than {@link destination}. */
  source(): Promise<PostgresServer> {
    return (this.#source ??= startPostgres(scratchFolder('source'), DURABLE));
  }

  destination(): Promise<PostgresServer> {
    return (this.#destination ??= startPostgres(scratchFolder('destination'), DURABLE));
  }

  mariadb(): Promise<MariadbDatabase> {
    return (this.#mariadb ??= mariadbOf());
  }

  /** Speaks Db2's protocol. */
  derby(): Promise<DerbyDatabase> {
    return (this.#derby ??= startDerby(scratchFolder('derby')).then((server) => new DerbyDatabase(server, 'BENCH')));
  }

  /** Makes something once for the whole bench. */
  once<T>(name: string, make: () => Promise<T>): Promise<T> {
    const made = (this.kept.get(name) as Promise<T> | undefined) ?? make();
    this.kept.set(name, made);
    return made;
  }
}

export async function newDatabase(server: PostgresServer, prefix: string): Promise<PostgresDatabase> {
  const name = uniqueName(prefix);
  const admin = new PostgresDatabase(server, 'postgres');
  try {
    await admin.query(`CREATE DATABASE "${name}" TEMPLATE template0`);
  } finally {
    await admin.close();
  }
  return new PostgresDatabase(server, name);
}

export async function dropDatabase(database: PostgresDatabase): Promise<void> {
  await database.close();
  const admin = new PostgresDatabase(database.server, 'postgres');
  try {
    await admin.query(`DROP DATABASE IF EXISTS "${database.name}" WITH (FORCE)`);
  } finally {
    await admin.close();
  }
}
