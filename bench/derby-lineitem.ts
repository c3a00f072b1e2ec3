import { createRequire } from 'node:module';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { findDriver } from '../connectors/db2/driver.ts';
import type { DerbyDatabase } from '../test/support/derby.ts';
import { scratchFolder } from '../test/support/shared-server.ts';
import { COLUMN_NAMES, COLUMNS, KEY, sharedLineitem, SMALL_TABLE } from './lineitem.ts';
import type { Bench } from './servers.ts';
import { pipe } from './shell.ts';

/** Statement attribute of the CLI driver: rows that come with one fetch. */
const ROW_ARRAY_SIZE_ATTRIBUTE = 27;
const BLOCK_ROWS = 1000;
/** ibm_db: rows as arrays of values. */
const FETCH_ARRAYS = 3;

/** The rows of {@link sharedLineitem} in Derby, put there by its own import. */
export async function derbyLineitem(bench: Bench, rows: number): Promise<DerbyDatabase> {
  return bench.once(`derby lineitem ${rows}`, async () => {
    const [from, into] = [await sharedLineitem(bench, rows), await bench.derby()];
    const folder = scratchFolder('derby-import');
    chmodSync(folder, 0o777);
    const file = join(folder, 'lineitem.csv');
    await pipe('psql -Xq "$FROM" -c "$READ" > "$FILE"', { FROM: from.url, READ: `COPY (SELECT ${COLUMN_NAMES.replace('updated_at', "updated_at AT TIME ZONE 'UTC'")} FROM lineitem ORDER BY ${KEY}) TO STDOUT (FORMAT csv, FORCE_QUOTE *)`, FILE: file });
    const type = (of: string) => of.replace('numeric', 'decimal');
    await into.run(`CREATE TABLE lineitem (${COLUMNS.map(([name, of]) => `${name} ${type(of)} NOT NULL`).join(', ')}, updated_at timestamp NOT NULL)`);
    await into.run(`CALL SYSCS_UTIL.SYSCS_IMPORT_TABLE(NULL, 'LINEITEM', '${file}', ',', '"', 'UTF-8', 0)`);
    await into.run(`ALTER TABLE lineitem ADD PRIMARY KEY (${KEY})`);
    await into.run('CREATE INDEX lineitem_changes ON lineitem (updated_at)');
    for (const statement of SMALL_TABLE) await into.run(statement);
    return into;
  });
}

interface BareDriver {
  open(text: string): Promise<{ prepare(sql: string): Promise<BareStatement>; closeSync(): void }>;
}
interface BareStatement {
  setAttrSync(attribute: number, value: number): unknown;
  execute(): Promise<BareResult | readonly [BareResult]>;
  closeSync(): void;
}
interface BareResult {
  fetch(option: { readonly fetchMode: typeof FETCH_ARRAYS }): Promise<readonly unknown[] | null>;
  closeSync(): void;
}

/** Fetches the chosen expressions of a table with nothing but the driver, in blocks, and drops the rows; how many there were. */
export async function bareFetch(database: DerbyDatabase, table: string, expressions: readonly string[]): Promise<number> {
  const { host, port, user, password } = database.server;
  const driver = createRequire(import.meta.url)(findDriver() ?? 'ibm_db') as BareDriver;
  const connection = await driver.open(`DATABASE=${database.name};HOSTNAME=${host};PORT=${port};PROTOCOL=TCPIP;UID=${user};PWD=${password};Authentication=SERVER`);
  const statement = await connection.prepare(`SELECT ${expressions.join(', ')} FROM ${table}`);
  statement.setAttrSync(ROW_ARRAY_SIZE_ATTRIBUTE, BLOCK_ROWS);
  const executed = await statement.execute();
  const result = 'fetch' in executed ? executed : executed[0];
  let count = 0;
  for (let block = await result.fetch({ fetchMode: FETCH_ARRAYS }); block !== null && block.length > 0; block = await result.fetch({ fetchMode: FETCH_ARRAYS })) count += block.length;
  result.closeSync();
  // Held until here: a statement that is collected as garbage takes its result with it, and the loop ends early without a word.
  statement.closeSync();
  connection.closeSync();
  return count;
}

/** How a value of this type leaves the driver without loss: decimals and times as text, and padded text as VARCHAR, since CHAR kills the driver at Derby. */
export function exactExpression(column: string, type: string): string {
  const padded = /^char\((\d+)\)/.exec(type);
  if (padded !== null) return `CAST(${column} AS VARCHAR(${padded[1]}))`;
  if (/^(numeric|decimal)/.test(type)) return `RTRIM(CHAR(${column}))`;
  if (type === 'date') return `CAST(${column} AS VARCHAR(10))`;
  return type.startsWith('timestamp') ? `CAST(${column} AS VARCHAR(32))` : column;
}
