/** The sources of a fleet: one table each, in a schema or database of its own, on three servers that they share. */
import { newDatabase, type Bench } from '../servers.ts';
import type { MariadbDatabase } from '../../test/support/mariadb.ts';
import type { DerbyDatabase } from '../../test/support/derby.ts';
import type { PostgresDatabase } from '../../test/support/postgres.ts';

const ROWS_AT_START = 100;

export interface FleetSource {
  readonly id: string;
  readonly kind: string;
  /** YAML flow text. */
  readonly connection: string;
  readonly stream: string;
  /** Commits one new row by a statement of its own. */
  write(row: number): Promise<unknown>;
}

export interface FleetServers {
  readonly sources: readonly FleetSource[];
  readonly secrets: Readonly<Record<string, string>>;
  /** Most sessions that any one source has at this moment, where its server tells; by source id. */
  sessions(): Promise<ReadonlyMap<string, number>>;
}

/** PostgreSQL, MariaDB and Derby in turn, so that a tenth of the fleet has all three. */
export async function makeFleet(bench: Bench, count: number): Promise<FleetServers> {
  const [postgres, mariadb, derby] = [await newDatabase(await bench.source(), 'fleet'), await bench.mariadb(), await bench.derby()];
  const makers = [postgresSource, mariadbSource, derbySource];
  const sources: FleetSource[] = [];
  for (let number = 1; number <= count; number += 1) sources.push(await makers[number % makers.length]!({ postgres, mariadb, derby }, `s${String(number).padStart(3, '0')}`));
  const secrets = { ...postgres.secrets, ...mariadb.secrets, DERBY_PASSWORD: derby.server.password };
  return { sources, secrets, sessions: () => countSessions(postgres, mariadb) };
}

interface Servers {
  readonly postgres: PostgresDatabase;
  readonly mariadb: MariadbDatabase;
  readonly derby: DerbyDatabase;
}

async function postgresSource({ postgres }: Servers, id: string): Promise<FleetSource> {
  await postgres.query(`CREATE SCHEMA ${id}; CREATE TABLE ${id}.reading (id bigint PRIMARY KEY, amount numeric(12,2) NOT NULL, updated_at timestamptz NOT NULL DEFAULT clock_timestamp());
    CREATE INDEX ON ${id}.reading (updated_at); INSERT INTO ${id}.reading SELECT -n, n * 1.5 FROM generate_series(1, ${ROWS_AT_START}) n; ANALYZE ${id}.reading`);
  return { id, kind: 'postgres', connection: postgres.connection, stream: streamOf(id, `${id}.reading`, 'updated_at'), write: (row) => postgres.query(`INSERT INTO ${id}.reading VALUES (${row}, ${row} * 0.5)`) };
}

async function mariadbSource({ mariadb }: Servers, id: string): Promise<FleetSource> {
  await mariadb.query(`CREATE DATABASE ${id}; CREATE TABLE ${id}.reading (id bigint PRIMARY KEY, amount decimal(12,2) NOT NULL, updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6), KEY (updated_at));
    INSERT INTO ${id}.reading (id, amount) SELECT -seq, seq * 1.5 FROM seq_1_to_${ROWS_AT_START}`);
  const { host, port, user } = mariadb.server;
  const connection = `{ host: ${host}, port: ${port}, database: ${id}, user: ${user}, password: "\${MARIADB_PASSWORD}" }`;
  return { id, kind: 'mysql', connection, stream: streamOf(id, 'reading', 'updated_at'), write: (row) => mariadb.query(`INSERT INTO ${id}.reading (id, amount) VALUES (${row}, ${row} * 0.5)`) };
}

async function derbySource({ derby }: Servers, id: string): Promise<FleetSource> {
  const table = `${id.toUpperCase()}.READING`;
  await derby.run(`CREATE SCHEMA ${id}`);
  await derby.run(`CREATE TABLE ${table} (id bigint NOT NULL PRIMARY KEY, amount decimal(12,2) NOT NULL, updated_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP)`);
  await derby.run(`CREATE INDEX ${id}_changes ON ${table} (updated_at)`);
  await derby.run(`INSERT INTO ${table} (id, amount) VALUES ${Array.from({ length: ROWS_AT_START }, (_, row) => `(${-row - 1}, ${row}.5)`).join(', ')}`);
  const connection = JSON.stringify({ ...derby.connection, password: '${DERBY_PASSWORD}' });
  return { id, kind: 'db2', connection, stream: streamOf(id, table, 'UPDATED_AT'), write: (row) => derby.run(`INSERT INTO ${table} (id, amount) VALUES (${row}, ${row}.5)`) };
}

const streamOf = (id: string, table: string, cursor: string): string => `{ table: ${table}, target: ${id}.reading, cursor: ${cursor}, overlap: 5s }`;

async function countSessions(postgres: PostgresDatabase, mariadb: MariadbDatabase): Promise<ReadonlyMap<string, number>> {
  const named = await postgres.query("SELECT replace(application_name, 'tidemark ', '') AS id, count(*) AS n FROM pg_stat_activity WHERE application_name LIKE 'tidemark s%' GROUP BY 1");
  const listed = await mariadb.query("SELECT db AS id, count(*) AS n FROM information_schema.processlist WHERE db LIKE 's%' AND db NOT IN ('sys') GROUP BY db");
  return new Map([...named, ...listed].map(({ id, n }) => [id ?? '', Number(n)]));
}
