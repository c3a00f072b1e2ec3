/**
 * The kinds of source that the fault suite runs on: how each is started, killed, started again, written to and dumped by its own client.
 * The cases know no product.
 */
import { createDerby, DerbyDatabase, startDerby } from '../support/derby.ts';
import type { Needs } from '../support/describe-with.ts';
import { createMariadb, MariadbDatabase, restartMariadb, startMariadb } from '../support/mariadb.ts';
import type { PostgresDatabase} from '../support/postgres.ts';
import { createDatabase, PrivatePostgres } from '../support/postgres.ts';
import type { RunningProcess } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { scratchFolder, uniqueName } from '../support/shared-server.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** One database that a stream reads from. Tables have the columns of {@link tableSql}. */
export interface FaultSource {
  readonly address: Address;
  readonly secrets: Readonly<Record<string, string>>;
  /** What stands under `connection:`; at another address where a proxy stands between. */
  connection(at?: Address): string;
  /** One statement, committed when it resolves. */
  run(sql: string): Promise<void>;
  /** Rows in the order of their key, as `id|name|amount|changed_at` with six digits of a second. */
  dump(table: string): Promise<string[]>;
}

/** A server of its own, that a case may end. What it acknowledged is on disk. */
export interface OwnSource extends FaultSource {
  kill(): Promise<void>;
  restart(): Promise<void>;
}

export interface FaultEngine {
  readonly kind: string;
  readonly needs: Needs;
  /** Type and expression of a moment. */
  readonly time: string;
  readonly now: string;
  /** Its connector reads every late commit, and all rows of one snapshot. Else a window is read again. */
  readonly exact: boolean;
  /** Any user sees what the server does with its sessions: whether one waits for its client. */
  readonly showsSessions: boolean;
  /** A transaction of one statement that commits a good second later; null where its client has no way. */
  readonly late: ((statement: string) => string) | null;
  /** As its catalog writes the name of an unquoted table. */
  folded(table: string): string;
  shared(): Promise<FaultSource>;
  own(): Promise<OwnSource>;
}

export function tableSql(engine: FaultEngine, table: string): string {
  return `CREATE TABLE ${table} (id bigint NOT NULL PRIMARY KEY, name varchar(80) NOT NULL, amount decimal(14,2) NOT NULL, changed_at ${engine.time} NOT NULL)`;
}

const VALUES_MAX = 400;

/** Inserts rows `from` to `to`, both included. */
export async function insertRows(engine: FaultEngine, source: FaultSource, table: string, from: number, to: number): Promise<void> {
  for (let first = from; first <= to; first += VALUES_MAX) {
    const ids = Array.from({ length: Math.min(VALUES_MAX, to - first + 1) }, (_, index) => first + index);
    await source.run(`INSERT INTO ${table} (id, name, amount, changed_at) VALUES ${ids.map((id) => `(${id}, 'naïve ${id}', ${id}.25, ${engine.now})`).join(', ')}`);
  }
}

/** Gives rows `from` to `to` another name, amount and time. */
export async function changeRows(engine: FaultEngine, source: FaultSource, table: string, from: number, to: number, name: string): Promise<void> {
  await source.run(`UPDATE ${table} SET name = '${name}', amount = amount + 1, changed_at = ${engine.now} WHERE id BETWEEN ${from} AND ${to}`);
}

/** The same of the destination's rows, of the table under its name there. */
export async function dumpTarget(target: PostgresDatabase, table: string): Promise<string[]> {
  return (await target.query(`SELECT concat_ws('|', id, name, amount, to_char(changed_at, 'YYYY-MM-DD HH24:MI:SS.US')) AS line FROM ${table} ORDER BY id`)).map(({ line }) => line ?? '');
}

/** A server that waits for its disk at each commit: what a killed one had acknowledged is there again. */
export const DURABLE = { postgres: { synchronous_commit: 'on' }, mariadb: ['--innodb-flush-log-at-trx-commit=2'], derby: ['-Dderby.system.durability=default'] };

function postgresSource(database: PostgresDatabase): FaultSource {
  const { host, port } = database.server;
  return {
    address: { host, port },
    secrets: database.secrets,
    connection: (at = { host, port }) => `{ host: ${at.host}, port: ${at.port}, database: ${database.name}, user: ${database.server.user}, password: "\${POSTGRES_PASSWORD}" }`,
    run: async (sql) => void (await database.query(sql)),
    dump: (table) => dumpTarget(database, table),
  };
}

function mariadbSource(database: MariadbDatabase): FaultSource {
  const { host, port } = database.server;
  return {
    address: { host, port },
    secrets: database.secrets,
    connection: (at = { host, port }) => `{ host: ${at.host}, port: ${at.port}, database: ${database.name}, user: ${database.server.user}, password: "\${MARIADB_PASSWORD}" }`,
    run: async (sql) => void (await database.query(sql)),
    dump: async (table) => (await database.query(`SELECT concat_ws('|', id, name, amount, date_format(changed_at, '%Y-%m-%d %H:%i:%s.%f')) AS line FROM ${table} ORDER BY id`)).map(({ line }) => line ?? ''),
  };
}

/** A line of `ij`: columns parted by bars and padded; it leaves out digits of a second that are zero. */
function derbyLine(line: string): string | null {
  const match = /^(\d+)\s*\|(.*?)\s*\|(-?\d+\.\d+)\s*\|(.*?)\.(\d+)\s*$/.exec(line);
  return match === null ? null : `${match[1]}|${match[2]}|${match[3]}|${match[4]}.${(match[5] ?? '').padEnd(6, '0').slice(0, 6)}`;
}

function derbySource(database: DerbyDatabase): FaultSource {
  const { host, port, user, password } = database.server;
  return {
    address: { host, port },
    secrets: { DERBY_PASSWORD: password },
    connection: (at = { host, port }) => `{ host: ${at.host}, port: ${at.port}, database: ${database.name}, user: ${user}, password: "\${DERBY_PASSWORD}", authentication: server }`,
    run: async (sql) => void (await database.run(sql)),
    dump: async (table) => (await database.run(`SELECT id, name, amount, changed_at FROM ${table} ORDER BY id`)).split('\n').flatMap((line) => derbyLine(line) ?? []),
  };
}

async function ownMariadb(): Promise<OwnSource> {
  const folder = scratchFolder('mariadb');
  let server = await startMariadb(folder, DURABLE.mariadb);
  onFileEnd(async () => void (await server.process.stop()));
  const name = uniqueName('source');
  const admin = new MariadbDatabase(server, 'mysql');
  await admin.query(`CREATE DATABASE ${name} CHARACTER SET utf8mb4`);
  await admin.close();
  const database = new MariadbDatabase(server, name);
  onFileEnd(() => database.close().catch(() => undefined));
  const restart = async () => void (server = await restartMariadb(folder, server, DURABLE.mariadb));
  return { ...mariadbSource(database), kill: () => server.process.kill(), restart };
}

async function ownDerby(): Promise<OwnSource> {
  const folder = scratchFolder('derby');
  let server: Awaited<ReturnType<typeof startDerby>> & { process: RunningProcess } = await startDerby(folder, DURABLE.derby);
  onFileEnd(async () => void (await server.process.stop()));
  const database = new DerbyDatabase(server, 'FAULTS');
  const restart = async () => {
    server = await startDerby(folder, DURABLE.derby, server.port);
    database.reconnect();
  };
  return { ...derbySource(database), kill: () => server.process.kill(), restart };
}

async function ownPostgres(): Promise<OwnSource> {
  const server = await PrivatePostgres.start(DURABLE.postgres);
  return { ...postgresSource(await server.createDatabase('source')), kill: () => server.stopAtOnce(), restart: () => server.restart() };
}

const upper = (table: string) => table.toUpperCase();
const asIs = (table: string) => table;

export const ENGINES: readonly FaultEngine[] = [
  { kind: 'postgres', needs: { postgres: true, temporal: true }, time: 'timestamp(6)', now: "(clock_timestamp() AT TIME ZONE 'UTC')", exact: true, showsSessions: true, late: (statement) => `BEGIN; ${statement}; SELECT pg_sleep(1.2); COMMIT`, folded: asIs, shared: async () => postgresSource(await createDatabase('source')), own: ownPostgres },
  { kind: 'mysql', needs: { postgres: true, mariadb: true, temporal: true }, time: 'datetime(6)', now: 'utc_timestamp(6)', exact: true, showsSessions: true, late: (statement) => `START TRANSACTION; ${statement}; DO SLEEP(1.2); COMMIT`, folded: asIs, shared: async () => mariadbSource(await createMariadb('source')), own: ownMariadb },
  { kind: 'db2', needs: { postgres: true, db2: true, temporal: true }, time: 'timestamp', now: 'current_timestamp', exact: false, showsSessions: false, late: null, folded: upper, shared: async () => derbySource(await createDerby('source')), own: ownDerby },
];

/** The engine of a kind, for a file that tests one of them. */
export function engineOf(kind: string): FaultEngine {
  const engine = ENGINES.find((each) => each.kind === kind);
  if (engine === undefined) throw new Error(`no engine ${kind}`);
  return engine;
}
