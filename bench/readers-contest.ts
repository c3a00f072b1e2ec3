/** The same table read by a connector and by its bare driver. */
import { chmodSync } from 'node:fs';
import mysql from 'mysql2';
import type { ConnectorManifest } from '../connectors/connector.ts';
import { manifest as db2 } from '../connectors/db2/manifest.ts';
import { manifest as mysqlManifest } from '../connectors/mysql/manifest.ts';
import { DerbyDatabase, startDerby } from '../test/support/derby.ts';
import { MariadbDatabase, startMariadb } from '../test/support/mariadb.ts';
import { bareFetch, exactExpression } from './derby-lineitem.ts';

export interface Contest {
  /** Reads all rows and drops them; how many there were. */
  readonly bare: () => Promise<number>;
  readonly connector: () => Promise<number>;
  readonly end: () => Promise<void>;
}

const COLUMNS = ['id', 'owner', 'amount', 'opened', 'note', 'balance', 'branch', 'changed'];
const BLOCK_ROWS = 1000;

async function readAll(manifest: ConnectorManifest, connection: unknown): Promise<number> {
  const connector = await manifest.load();
  const session = await connector.connect(manifest.connectionSchema.parse(connection), { applicationName: 'tidemark bench', connectTimeoutMs: 10_000, statementTimeoutMs: 600_000, signal: new AbortController().signal });
  const table = await session.describe('account', {});
  const stream = { table, columns: table.columns.map(({ name }) => name), key: table.key, cursor: null, overlapSeconds: 0, futureLimitSeconds: 0, fetchRows: BLOCK_ROWS, types: {} };
  const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
  for await (const chunk of read.stream) void chunk;
  await session.close();
  return read.rowsRead();
}

export async function prepareMysql(folder: string, rows: number): Promise<Contest> {
  chmodSync(folder, 0o755);
  const server = await startMariadb(folder);
  const database = new MariadbDatabase(server, 'mysql');
  await database.query(`CREATE DATABASE bench; CREATE TABLE bench.account (id bigint PRIMARY KEY, owner varchar(40), amount decimal(18,4), opened date, note varchar(80), balance double, branch int, changed datetime(6));
    INSERT INTO bench.account SELECT seq, CONCAT('owner ', seq), seq * 1.2345, '2024-01-02', 'a note of some forty characters in length', seq / 7, seq % 90, '2024-01-02 03:04:05.678901' FROM mysql.seq_1_to_${rows}`);
  const { host, port, user, password } = server;
  const bare = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const connection = mysql.createConnection({ host, port, user, password, database: 'bench', typeCast: (field) => field.buffer() });
      let count = 0;
      connection.query({ sql: `SELECT ${COLUMNS.join(', ')} FROM account`, rowsAsArray: true }).on('error', reject).on('result', () => (count += 1)).on('end', () => {
        connection.destroy();
        resolve(count);
      });
    });
  return {
    bare,
    connector: () => readAll(mysqlManifest, { host, port, user, password, database: 'bench' }),
    end: async () => {
      await database.close();
      await server.process.stop();
    },
  };
}

export async function prepareDb2(folder: string, rows: number): Promise<Contest> {
  const server = await startDerby(folder);
  const database = new DerbyDatabase(server, 'BENCH');
  await database.run('CREATE TABLE account (id bigint NOT NULL PRIMARY KEY, owner varchar(40), amount decimal(18,4), opened date, note varchar(80), balance double, branch int, changed timestamp)');
  await database.run("INSERT INTO account VALUES (0, 'owner', 1.2345, '2024-01-02', 'a note of some forty characters in length', 0.7, 7, TIMESTAMP('2024-01-02 03:04:05.678901'))");
  for (let count = 1; count < rows; count *= 2) await database.run(`INSERT INTO account SELECT id + ${count}, owner, amount, opened, note, balance, branch, changed FROM account WHERE id < ${rows - count}`);
  const list = ['id', 'owner', exactExpression('amount', 'decimal'), exactExpression('opened', 'date'), 'note', 'balance', 'branch', exactExpression('changed', 'timestamp')];
  const bare = (): Promise<number> => bareFetch(database, 'account', list);
  return { bare, connector: () => readAll(db2, database.connection), end: async () => void (await server.process.stop()) };
}
