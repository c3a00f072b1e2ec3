/**
 * Real tables for the proof: nycflights13 and the Berka bank, read from `../shared/data` beside the checkout or from
 * TIDEMARK_TEST_DATA; where they are not there, rows of the same shape from a seeded generator stand in.
 *
 * Each table gets a key and `updated_at` (microseconds, indexed): the cursor of a sync. `district` has none and is synced whole.
 */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import mysql from 'mysql2';
import copyStreams from 'pg-copy-streams';
import { repositoryRoot } from './describe-with.ts';
import type { MariadbDatabase } from './mariadb.ts';
import type { PostgresDatabase } from './postgres.ts';
import { seededRandom } from './random.ts';

/** `name type`, where the type means the same in PostgreSQL and MariaDB; `text` columns are `varchar(80)` there. */
type ColumnText = `${string} ${'int' | 'bigint' | 'text' | 'double precision' | 'time' | `decimal(${number},${number})`}`;

export interface Dataset {
  readonly table: string;
  readonly file: string;
  readonly separator: ',' | ';';
  /** How the file spells NULL. */
  readonly nullText: string;
  readonly columns: readonly ColumnText[];
  /** One of `columns`, or a serial `id` where the data has no single key. */
  readonly key: string;
  readonly cursor: boolean;
  /** Rows of the stand-in. */
  readonly standIn: number;
}

const flights = { separator: ',', nullText: 'NA', cursor: true } as const;
const bank = { separator: ';', nullText: '?', cursor: true } as const;

export const NYCFLIGHTS: readonly Dataset[] = [
  { ...flights, table: 'airlines', file: 'nycflights13/airlines.csv', columns: ['carrier text', 'name text'], key: 'carrier', standIn: 16 },
  { ...flights, table: 'airports', file: 'nycflights13/airports.csv', columns: ['faa text', 'name text', 'lat double precision', 'lon double precision', 'alt int', 'tz int', 'dst text', 'tzone text'], key: 'faa', standIn: 1458 },
  { ...flights, table: 'planes', file: 'nycflights13/planes.csv', columns: ['tailnum text', 'year int', 'type text', 'manufacturer text', 'model text', 'engines int', 'seats int', 'speed int', 'engine text'], key: 'tailnum', standIn: 3322 },
  { ...flights, table: 'weather', file: 'nycflights13/weather.csv', columns: ['origin text', 'year int', 'month int', 'day int', 'hour int', 'temp decimal(8,2)', 'dewp decimal(8,2)', 'humid decimal(8,2)', 'wind_dir int', 'wind_speed double precision', 'wind_gust double precision', 'precip decimal(6,2)', 'pressure decimal(8,1)', 'visib double precision', 'time_hour text'], key: 'id', standIn: 26_000 },
  { ...flights, table: 'flights', file: 'nycflights13/flights.csv.gz', columns: ['year int', 'month int', 'day int', 'dep_time int', 'sched_dep_time int', 'dep_delay int', 'arr_time int', 'sched_arr_time int', 'arr_delay int', 'carrier text', 'flight int', 'tailnum text', 'origin text', 'dest text', 'air_time int', 'distance int', 'hour int', 'minute int', 'time_hour text'], key: 'id', standIn: 100_000 },
];

export const BERKA: readonly Dataset[] = [
  { ...bank, table: 'account', file: 'berka/account.asc', columns: ['account_id int', 'district_id int', 'frequency text', 'date int'], key: 'account_id', standIn: 4500 },
  { ...bank, table: 'card', file: 'berka/card.asc', columns: ['card_id int', 'disp_id int', 'type text', 'issued text'], key: 'card_id', standIn: 892 },
  { ...bank, table: 'client', file: 'berka/client.asc', columns: ['client_id int', 'birth_number text', 'district_id int'], key: 'client_id', standIn: 5369 },
  { ...bank, table: 'disp', file: 'berka/disp.asc', columns: ['disp_id int', 'client_id int', 'account_id int', 'type text'], key: 'disp_id', standIn: 5369 },
  { ...bank, table: 'district', file: 'berka/district.asc', cursor: false, columns: ['A1 int', ...Array.from({ length: 15 }, (_, index) => `A${index + 2} text` as const)], key: 'A1', standIn: 77 },
  { ...bank, table: 'loan', file: 'berka/loan.asc', columns: ['loan_id int', 'account_id int', 'date int', 'amount decimal(12,2)', 'duration int', 'payments decimal(12,2)', 'status text'], key: 'loan_id', standIn: 682 },
  { ...bank, table: 'order', file: 'berka/order.asc', columns: ['order_id int', 'account_id int', 'bank_to text', 'account_to text', 'amount decimal(12,2)', 'k_symbol text'], key: 'order_id', standIn: 6471 },
];

const parts = (column: ColumnText): [string, string] => {
  const space = column.indexOf(' ');
  return [column.slice(0, space), column.slice(space + 1)];
};

const folder = process.env['TIDEMARK_TEST_DATA'] ?? join(repositoryRoot, '..', 'shared', 'data');

/** Lines of the file as it would be, reproducible: the row number seeds every value. */
function* standInLines({ columns, nullText, separator, standIn, key }: Dataset): Generator<Buffer> {
  const random = seededRandom(20_130_101);
  yield Buffer.from(`${columns.map((column) => parts(column)[0]).join(separator)}\n`);
  for (let row = 1; row <= standIn; row += 1) {
    const values = columns.map((column) => {
      const [name, type] = parts(column);
      if (name === key) return type === 'int' ? String(row) : `K${row}`;
      if (random() < 0.05) return nullText;
      if (type === 'int') return String(Math.floor(random() * 2400));
      if (type === 'text') return `"v ${Math.floor(random() * 1e6).toString(36)}"`;
      return (random() * 1000).toFixed(type.startsWith('decimal') ? 1 : 6);
    });
    yield Buffer.from(`${values.join(separator)}\n`);
  }
}

function open(dataset: Dataset): Readable {
  const file = join(folder, dataset.file);
  // As a file's stream would be: mysql2 takes nothing but bytes.
  if (!existsSync(file)) return Readable.from(standInLines(dataset), { objectMode: false });
  const raw = createReadStream(file);
  return file.endsWith('.gz') ? raw.pipe(createGunzip()) : raw;
}

const EPOCH = '2024-03-01 00:00:00';

/** Creates the tables and loads them. `updated_at` advances 1 ms with each row, so that it is reproducible. */
export async function loadIntoPostgres(database: PostgresDatabase, datasets: readonly Dataset[]): Promise<void> {
  const client = await database.client();
  for (const dataset of datasets) {
    const { table, columns, key, cursor, separator, nullText } = dataset;
    const names = columns.map((column) => `"${parts(column)[0]}"`);
    const own = key === 'id' ? 'id bigint GENERATED ALWAYS AS IDENTITY,' : '';
    await client.query(`CREATE TABLE "${table}" (${own} ${columns.map((column) => `"${parts(column)[0]}" ${parts(column)[1]}`).join(', ')})`);
    const copy = copyStreams.from(`COPY "${table}" (${names.join(', ')}) FROM STDIN (FORMAT csv, HEADER, DELIMITER '${separator}', NULL '${nullText}', ENCODING 'UTF8')`);
    await pipeline(open(dataset), client.query(copy));
    await client.query(`ALTER TABLE "${table}" ADD PRIMARY KEY ("${key}")`);
    if (!cursor) continue;
    await client.query(`ALTER TABLE "${table}" ADD COLUMN updated_at timestamptz(6) NOT NULL DEFAULT '${EPOCH}+00'`);
    await client.query(`WITH n AS (SELECT "${key}" AS k, row_number() OVER (ORDER BY "${key}") AS n FROM "${table}") UPDATE "${table}" t SET updated_at = updated_at + n.n * interval '1.001 millisecond' FROM n WHERE n.k = t."${key}"`);
    await client.query(`CREATE INDEX ON "${table}" (updated_at, "${key}")`);
  }
  await client.query('ANALYZE');
  await client.end();
}

export async function loadIntoMariadb(database: MariadbDatabase, datasets: readonly Dataset[]): Promise<void> {
  for (const dataset of datasets) {
    const { table, columns, key, cursor } = dataset;
    const typeOf = (name: string, type: string) => (type !== 'text' ? type : name === key ? 'varchar(80) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin' : 'varchar(80)');
    const own = key === 'id' ? 'id bigint AUTO_INCREMENT,' : '';
    await database.query(`CREATE TABLE \`${table}\` (${own} ${columns.map((column) => `\`${parts(column)[0]}\` ${typeOf(...parts(column))}`).join(', ')}, PRIMARY KEY (\`${key}\`))`);
    await loadData(database, dataset);
    if (!cursor) continue;
    await database.query(`ALTER TABLE \`${table}\` ADD COLUMN updated_at datetime(6) NOT NULL DEFAULT '${EPOCH}'`);
    await database.query(`SET @n := 0; UPDATE \`${table}\` SET updated_at = updated_at + INTERVAL (@n := @n + 1) * 1001 MICROSECOND ORDER BY \`${key}\`; CREATE INDEX i ON \`${table}\` (updated_at, \`${key}\`)`);
  }
}

async function loadData(database: MariadbDatabase, dataset: Dataset): Promise<void> {
  const { table, columns, separator, nullText } = dataset;
  const names = columns.map((column) => parts(column)[0]);
  const sql = `LOAD DATA LOCAL INFILE 'rows' INTO TABLE \`${table}\` CHARACTER SET utf8mb4 FIELDS TERMINATED BY '${separator}' OPTIONALLY ENCLOSED BY '"' LINES TERMINATED BY '\\n' IGNORE 1 LINES (${names.map((_, index) => `@v${index}`).join(', ')}) SET ${names.map((name, index) => `\`${name}\` = NULLIF(@v${index}, '${nullText}')`).join(', ')}`;
  const connection = mysql.createConnection(database.clientOptions());
  try {
    await new Promise<void>((resolve, reject) => {
      connection.query({ sql, infileStreamFactory: () => open(dataset) }, (error) => (error === null ? resolve() : reject(error)));
    });
  } finally {
    connection.destroy();
  }
}

/** `streams:` of a source with these tables, for a configuration. */
export function streamsYaml(datasets: readonly Dataset[], indent: string): string {
  return datasets.map(({ table, cursor }) => `${indent}- ${cursor ? `{ table: ${JSON.stringify(table)}, cursor: updated_at }` : JSON.stringify(table)}`).join('\n');
}
