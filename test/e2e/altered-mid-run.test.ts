/** The source's table is altered between two batches of one run (F-49): never a NULL in silence, never a value cut or rounded, never five tries at what can't work. */
import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { compareTables } from '../support/compare.ts';
import { describeWith, repositoryRoot } from '../support/describe-with.ts';
import { createMariadb, quietMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { scratchFolder } from '../support/shared-server.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

type Product = 'postgres' | 'mariadb';

interface Case {
  readonly table: string;
  readonly products: readonly Product[];
  readonly alter: (product: Product) => string;
  readonly status: string;
  readonly code?: string;
  /** Not compared: only old rows have other values there, as no cursor can see. */
  readonly without?: string;
}

const BOTH: readonly Product[] = ['postgres', 'mariadb'];
const COLUMNS: Record<Product, string> = { postgres: 'id int PRIMARY KEY, n int, amount numeric(10,2), v varchar(10), at timestamptz(6) NOT NULL', mariadb: 'id int PRIMARY KEY, n int, amount decimal(10,2), v varchar(10), at datetime(6) NOT NULL' };
const type = (product: Product, column: string, name: string) => (product === 'postgres' ? `ALTER COLUMN ${column} TYPE ${name}` : `MODIFY ${column} ${name}`);
const LATER = "'2024-01-02 00:00:00'";

const CASES: readonly Case[] = [
  { table: 'dropped', products: BOTH, alter: () => 'ALTER TABLE dropped DROP COLUMN n', status: 'completed' },
  { table: 'renamed', products: BOTH, alter: () => 'ALTER TABLE renamed RENAME COLUMN v TO w', status: 'completed', without: 'w' },
  { table: 'rounded', products: BOTH, alter: (product) => `ALTER TABLE rounded ${type(product, 'amount', 'decimal(14,6)')}; UPDATE rounded SET amount = 1.234567 WHERE id > 8`, status: 'completed' },
  { table: 'longer', products: BOTH, alter: (product) => `ALTER TABLE longer ${type(product, 'v', 'varchar(40)')}; UPDATE longer SET v = 'more than ten characters' WHERE id > 8`, status: 'completed' },
  { table: 'added', products: BOTH, alter: () => "ALTER TABLE added ADD COLUMN extra varchar(10) DEFAULT 'd'; UPDATE added SET v = 'x' WHERE id > 8", status: 'completed', without: 'extra' },
  { table: 'narrowed', products: BOTH, alter: (product) => `ALTER TABLE narrowed ${type(product, 'amount', 'decimal(10,0)')}`, status: 'parked', code: 'source.schema_changed' },
  { table: 'remade', products: ['postgres'], alter: (product) => `DROP TABLE remade; CREATE TABLE remade (${COLUMNS[product]}); INSERT INTO remade VALUES (1, 1, 1, 'other', ${LATER})`, status: 'history_lost', code: 'source.history_lost' },
  { table: 'remade', products: ['mariadb'], alter: (product) => `DROP TABLE remade; CREATE TABLE remade (${COLUMNS[product]}); INSERT INTO remade VALUES (1, 1, 1, 'other', '2020-01-01')`, status: 'history_lost', code: 'source.history_lost' },
  { table: 'gone', products: BOTH, alter: () => 'DROP TABLE gone', status: 'parked', code: 'source.table_missing' },
  { table: 'hidden', products: ['postgres'], alter: () => 'REVOKE SELECT ON hidden FROM mid_run_reader', status: 'parked', code: 'source.privilege_missing' },
];

describeWith({ postgres: true, mariadb: true, temporal: true }, 'a table altered in the middle of a run', () => {
  describe.each<Product>(['postgres', 'mariadb'])('%s', (product) => {
    const faults = scratchFolder('fault');
    const cases = CASES.filter(({ products }) => products.includes(product));
    let source: PostgresDatabase | MariadbDatabase;
    let target: PostgresDatabase;
    let tidemark: Tidemark;

    beforeAll(async () => {
      // The batches of a run are told apart by their rows: of MariaDB a transaction that another test has open would begin the read earlier.
      source = product === 'postgres' ? await createDatabase('midrun') : await createMariadb('midrun', await quietMariadb());
      target = await createDatabase('target');
      let connection = source.connection;
      if (product === 'postgres') {
        await source.query("DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'mid_run_reader') THEN CREATE ROLE mid_run_reader LOGIN PASSWORD 'mid-run' IN ROLE pg_read_all_stats; END IF; END $$");
        connection = connection.replace(/user: \w+/, 'user: mid_run_reader').replace(/"\$\{POSTGRES_PASSWORD\}"/, 'mid-run');
      }
      for (const { table } of cases) {
        await source.query(`CREATE TABLE ${table} (${COLUMNS[product]})`);
        await source.query(`INSERT INTO ${table} VALUES ${[1, 2, 3].map((id) => `(${id}, ${id}, 1.25, 'v${id}', '2024-01-01 00:00:0${id}')`).join(', ')}`);
        if (product === 'postgres') await source.query(`GRANT SELECT ON ${table} TO mid_run_reader`);
      }
      // One source for each: the run that is held is the only one.
      const configuration = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d, overlap: 0s }\nsources:\n${cases.map(({ table }) => `  - { id: ${table}, kind: ${product}, connection: ${connection}, streams: [{ table: ${table}, cursor: at, batch_rows: 2 }] }`).join('\n')}\n`;
      tidemark = new Tidemark(configuration, { ...source.secrets, ...(await Tidemark.temporal()), DESTINATION_URL: target.url });
      tidemark.startWorker({ TIDEMARK_FAULT_FOLDER: faults, NODE_OPTIONS: `--import ${pathToFileURL(join(repositoryRoot, 'test/faults/install-fault.js')).href}` });
      await tidemark.workerReady(1);
      await tidemark.apply();
      await tidemark.syncAll();
    });

    /** Syncs ten new rows in batches of two; `sql` runs when the second of them is in the stage. */
    async function syncAround(table: string, sql: string): Promise<StreamResult> {
      await source.query(`INSERT INTO ${table} VALUES ${[4, 5, 6, 7, 8, 9, 10, 11, 12, 13].map((id) => `(${id}, ${id}, 1.25, 'v${id}', '2024-01-01 00:00:${String(id).padStart(2, '0')}')`).join(', ')}`);
      for (const file of ['fired.json', 'go-on']) rmSync(join(faults, file), { force: true });
      writeFileSync(join(faults, 'armed.new'), JSON.stringify({ phase: 'P4', nth: 2, action: 'hold', case: table }));
      renameSync(join(faults, 'armed.new'), join(faults, 'armed.json'));
      const running = tidemark.begin('sync', table, '--json');
      await waitFor('the second batch', () => (existsSync(join(faults, 'fired.json')) ? true : null));
      await source.query(sql);
      writeFileSync(join(faults, 'go-on'), '');
      return (await running.result).json!.streams![0]!;
    }

    test.each(cases.map((each) => [each.table, each] as const))('%s', async (table, { alter, status, code, without }) => {
      const result = await syncAround(table, alter(product));
      expect(result).toMatchObject({ status, error: code === undefined ? null : { code } });
      const loaded = await target.query(`SELECT count(*) AS n FROM ${table}.${table}`);
      // Two batches had been read by the old plan, and what they brought stays.
      if (status !== 'completed') return expect(Number(loaded[0]!['n'])).toBeGreaterThanOrEqual(6);
      const { differences, sourceRows, targetRows } = await compareTables(source, table, target, `${table}.${table}`, ['id']);
      expect({ sourceRows, targetRows }).toEqual({ sourceRows: 13, targetRows: 13 });
      expect(differences.filter((each) => without === undefined || !JSON.stringify(each).includes(without))).toEqual([]);
      expect(await target.value("SELECT count(*) FROM tidemark.quarantine WHERE stream = $1", [table])).toBe('0');
      return expect(await target.value("SELECT count(*) FROM tidemark.event WHERE type = 'SchemaChanged' AND stream = $1", [table])).toBe('1');
    });
  });
});
