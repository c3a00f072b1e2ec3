/** TPC-H's `lineitem` with a time of change: 17 columns, a key of two, 120 bytes a row. */
import { which } from '../test/support/find-servers.js';
import type { PostgresDatabase } from '../test/support/postgres.ts';
import { ownGenerator } from './lineitem-generator.ts';
import { newDatabase, type Bench } from './servers.ts';
import { pipe } from './shell.ts';
import type { MariadbDatabase } from './mariadb-source.ts';

/** Rows of the table at TPC-H's scale factor 1. */
export const ROWS_AT_SCALE_1 = 6_001_215;

/** Name and PostgreSQL type, in the order of the generator; `updated_at` is ours. */
export const COLUMNS = [
  ['l_orderkey', 'bigint'],
  ['l_partkey', 'bigint'],
  ['l_suppkey', 'bigint'],
  ['l_linenumber', 'int'],
  ['l_quantity', 'numeric(15,2)'],
  ['l_extendedprice', 'numeric(15,2)'],
  ['l_discount', 'numeric(15,2)'],
  ['l_tax', 'numeric(15,2)'],
  ['l_returnflag', 'char(1)'],
  ['l_linestatus', 'char(1)'],
  ['l_shipdate', 'date'],
  ['l_commitdate', 'date'],
  ['l_receiptdate', 'date'],
  ['l_shipinstruct', 'char(25)'],
  ['l_shipmode', 'char(10)'],
  ['l_comment', 'varchar(44)'],
] as const;

const GENERATED = COLUMNS.map(([name]) => name).join(', ');
export const COLUMN_NAMES = `${GENERATED}, updated_at`;
export const KEY = 'l_orderkey, l_linenumber';
/** First change of the table; each row follows a millisecond after the one before it. */
const FIRST_CHANGE = '2026-01-01 00:00:00Z';

/** `CREATE TABLE` without key, for PostgreSQL. */
export function createTable(name: string): string {
  return `CREATE TABLE ${name} (${COLUMNS.map(([column, type]) => `${column} ${type} NOT NULL`).join(', ')}, updated_at timestamptz NOT NULL)`;
}

/** Command that prints `rows` rows as lines of values between `|`. */
function generator(rows: number): string {
  const scale = Math.max(0.01, (rows * 1.02) / ROWS_AT_SCALE_1);
  const program = which('tpchgen-cli');
  // `head` ends the generator's pipe early.
  return program === null ? ownGenerator(rows) : `("${program}" -s ${scale.toFixed(4)} --tables=lineitem --stdout || true) 2>/dev/null | head -n ${rows} | sed 's/|$//'`;
}

/** A table of one row, for a worker's first sync. */
export const SMALL_TABLE = ['CREATE TABLE small (id int NOT NULL PRIMARY KEY)', 'INSERT INTO small VALUES (1)'] as const;

/** A database of the source cluster whose table `lineitem` has that many rows, with its key and an index of `updated_at`. */
export async function makeLineitem(bench: Bench, rows: number): Promise<PostgresDatabase> {
  const database = await newDatabase(await bench.source(), 'lineitem');
  await database.query(`CREATE SEQUENCE changes CACHE 1000; ${createTable('lineitem')}; ALTER TABLE lineitem ALTER updated_at SET DEFAULT timestamptz '${FIRST_CHANGE}' + nextval('changes') * interval '1 ms'`);
  await pipe(`${generator(rows)} | psql -Xq "$INTO" -c "$WRITE"`, { INTO: database.url, WRITE: `COPY lineitem (${GENERATED}) FROM STDIN (DELIMITER '|')` });
  const made = Number(await database.value('SELECT count(*) FROM lineitem'));
  if (made !== rows) throw new Error(`generated ${made} of ${rows} rows`);
  await database.query(`ALTER TABLE lineitem ALTER updated_at DROP DEFAULT; ALTER TABLE lineitem ADD PRIMARY KEY (${KEY}); CREATE INDEX ON lineitem (updated_at)`);
  await database.query('VACUUM ANALYZE lineitem');
  for (const statement of SMALL_TABLE) await database.query(statement);
  return database;
}

/** {@link makeLineitem}, once for each number of rows; for cases that only read it. */
export function sharedLineitem(bench: Bench, rows: number): Promise<PostgresDatabase> {
  return bench.once(`lineitem ${rows}`, () => makeLineitem(bench, rows));
}

/** The same rows in MariaDB. */
export async function mariadbLineitem(bench: Bench, rows: number): Promise<MariadbDatabase> {
  return bench.once(`mariadb lineitem ${rows}`, async () => {
    const [from, into] = [await sharedLineitem(bench, rows), await bench.mariadb()];
    const type = (of: string) => of.replace('numeric', 'decimal');
    await into.query(`CREATE TABLE lineitem (${COLUMNS.map(([name, of]) => `${name} ${type(of)} NOT NULL`).join(', ')}, updated_at datetime(6) NOT NULL, PRIMARY KEY (${KEY}), KEY (updated_at))`);
    const { host, port, user, password } = into.server;
    await pipe(`psql -Xq "$FROM" -c "$READ" | mariadb --no-defaults --local-infile -h ${host} -P ${port} -u ${user} ${into.name} -e "LOAD DATA LOCAL INFILE '/dev/stdin' INTO TABLE lineitem"`, {
      FROM: from.url,
      READ: `COPY (SELECT ${GENERATED}, updated_at AT TIME ZONE 'UTC' FROM lineitem ORDER BY ${KEY}) TO STDOUT`,
      MYSQL_PWD: password,
    });
    await into.query('ANALYZE TABLE lineitem');
    for (const statement of SMALL_TABLE) await into.query(statement);
    return into;
  });
}

/** A hash of all rows, of the generated columns and `updated_at`, whatever their order. */
export async function contentOf(database: PostgresDatabase, table: string): Promise<string> {
  const row = (await database.query(`SELECT count(*) AS n, sum(hashtextextended(row(${COLUMN_NAMES})::text, 0)) AS hash FROM ${table}`))[0];
  return `${row?.['n']} rows, ${row?.['hash']}`;
}
