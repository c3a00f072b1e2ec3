/** Tables, columns and keys from information_schema. */
import { closest } from 'fastest-levenshtein';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column, TableShape } from '../../schemas/table.ts';
import type { OpenConnection, TextRow } from './connection.ts';
import { readingsOf, targetNames, type TableName } from './names.ts';
import { quoteTable, quoteText } from './quoting.ts';
import { mapColumn, type NativeColumn, type TypeChoices } from './types.ts';

const SYSTEM_SCHEMAS = "('mysql','information_schema','performance_schema','sys')";

/** What a table's reads depend on besides its shape. */
export interface TableFacts {
  readonly shape: TableShape;
  /** InnoDB: reads are snapshots and writers are transactions. Null for a view. */
  readonly engine: string | null;
}

interface Found extends TableName {
  readonly type: string;
  readonly engine: string | null;
  readonly partitioned: boolean;
  readonly rowEstimate: number;
  readonly bytesEstimate: number;
}

/** `where` is a condition on table_schema and table_name, which all three catalogs have. */
async function readTables(connection: OpenConnection, where: string): Promise<readonly Found[]> {
  const rows = await connection.query(
    `SELECT table_schema, table_name, table_type, engine, COALESCE(create_options,''), table_rows, data_length + index_length
     FROM information_schema.tables WHERE ${where} ORDER BY table_schema, table_name`,
    'information_schema',
  );
  return rows.map(([schema, name, type, engine, options, rowEstimate, bytes]) => ({
    schema: schema ?? '',
    name: name ?? '',
    type: type ?? '',
    engine: engine ?? null,
    partitioned: /partitioned/i.test(options ?? ''),
    rowEstimate: Number(rowEstimate ?? '-1'),
    bytesEstimate: Number(bytes ?? '-1'),
  }));
}

function tableId(row: TextRow): string {
  return JSON.stringify([row[0], row[1]]);
}

function grouped(rows: readonly TextRow[]): ReadonlyMap<string, readonly TextRow[]> {
  const groups = new Map<string, TextRow[]>();
  for (const row of rows) {
    const group = groups.get(tableId(row));
    if (group === undefined) groups.set(tableId(row), [row]);
    else group.push(row);
  }
  return groups;
}

/** MariaDB keeps json as a longtext with this check. The catalog that tells came with 10.2 and 10.3. */
async function readJsonChecks(connection: OpenConnection, where: string): Promise<ReadonlySet<string>> {
  if (connection.product !== 'MariaDB') return new Set();
  const rows = await connection.query(
    `SELECT constraint_schema, table_name, check_clause FROM
       (SELECT constraint_schema AS table_schema, constraint_schema, table_name, check_clause FROM information_schema.check_constraints) c
     WHERE check_clause LIKE '%json_valid%' AND ${where}`,
    'information_schema',
  );
  return new Set(rows.flatMap((row) => {
    const column = /^\(?json_valid\(`((?:[^`]|``)+)`\)\)?$/i.exec(row[2] ?? '')?.[1];
    return column === undefined ? [] : [JSON.stringify([row[0], row[1], column.replaceAll('``', '`')])];
  }));
}

const COLUMNS = `SELECT table_schema, table_name, column_name, data_type, column_type, numeric_precision, numeric_scale,
    datetime_precision, character_maximum_length, is_nullable, privileges
  FROM information_schema.columns WHERE `;

function nativeColumn(row: TextRow, jsonChecks: ReadonlySet<string>): NativeColumn {
  return {
    name: row[2] ?? '',
    dataType: (row[3] ?? '').toLowerCase(),
    columnType: row[4] ?? '',
    precision: row[5] ?? null,
    scale: row[6] ?? null,
    fraction: row[7] ?? null,
    length: row[8] ?? null,
    nullable: row[9] === 'YES',
    checkedJson: jsonChecks.has(JSON.stringify([row[0], row[1], row[2]])),
  };
}

/** Rows of STATISTICS: schema, table, index, column, nullable, length of a prefix. Functional parts have no column. */
const INDEXES = `SELECT table_schema, table_name, index_name, column_name, nullable, sub_part, non_unique
  FROM information_schema.statistics WHERE `;

/** The primary key, else the unique index over NOT NULL columns with the fewest columns. */
function keyOf(indexRows: readonly TextRow[]): readonly string[] {
  const indexes = new Map<string, TextRow[]>();
  for (const row of indexRows) {
    if (row[6] !== '0') continue;
    const index = indexes.get(row[2] ?? '');
    if (index === undefined) indexes.set(row[2] ?? '', [row]);
    else index.push(row);
  }
  const usable = [...indexes.entries()].filter(([, rows]) => rows.every((row) => row[3] !== null && row[4] !== 'YES' && row[5] === null));
  const rank = ([name, rows]: readonly [string, TextRow[]]): number => (name === 'PRIMARY' ? 0 : rows.length);
  usable.sort((left, right) => rank(left) - rank(right) || (left[0] < right[0] ? -1 : 1));
  return (usable[0]?.[1] ?? []).map((row) => row[3] ?? '');
}

function firstColumns(indexRows: readonly TextRow[]): readonly string[] {
  const seen = new Set<string>();
  const first = new Set<string>();
  for (const row of indexRows) {
    if (!seen.has(row[2] ?? '') && row[3] !== null && row[3] !== undefined) first.add(row[3]);
    seen.add(row[2] ?? '');
  }
  return [...first];
}

const KINDS: Readonly<Record<string, TableShape['kind']>> = { 'BASE TABLE': 'table', 'SYSTEM VERSIONED': 'table', VIEW: 'view' };

function shapeOf(found: Found, columns: readonly Column[], indexRows: readonly TextRow[]): TableFacts {
  const kind = KINDS[found.type] ?? 'other';
  return {
    engine: kind === 'view' ? null : found.engine,
    shape: {
      schema: found.schema,
      name: found.name,
      kind: kind === 'table' && found.partitioned ? 'partitioned' : kind,
      // Table ids and creation times change with every rebuilding ALTER; positions check the rows at the watermark instead.
      identity: '',
      columns,
      key: keyOf(indexRows),
      indexedColumns: firstColumns(indexRows),
      rowEstimate: found.rowEstimate,
      bytesEstimate: found.bytesEstimate,
    },
  };
}

async function readShapes(connection: OpenConnection, where: string, choices: TypeChoices): Promise<readonly (TableFacts & { readonly readable: boolean })[]> {
  const tables = await readTables(connection, where);
  const jsonChecks = await readJsonChecks(connection, where);
  const columns = grouped(await connection.query(`${COLUMNS}${where} ORDER BY table_schema, table_name, ordinal_position`, 'information_schema'));
  const indexes = grouped(await connection.query(`${INDEXES}${where} ORDER BY table_schema, table_name, index_name, seq_in_index`, 'information_schema'));
  return tables.map((found) => {
    const id = JSON.stringify([found.schema, found.name]);
    const rows = columns.get(id) ?? [];
    const names = targetNames(rows.map((row) => row[2] ?? ''));
    const mapped = rows.map((row, index) => mapColumn(nativeColumn(row, jsonChecks), names[index] ?? '', choices));
    return { ...shapeOf(found, mapped, indexes.get(id) ?? []), readable: rows.some((row) => (row[10] ?? '').includes('select')) };
  });
}

/** All tables and views that the user may read, those of the server itself aside. */
export async function discoverTables(connection: OpenConnection): Promise<readonly TableShape[]> {
  const shapes = await readShapes(connection, `table_schema NOT IN ${SYSTEM_SCHEMAS}`, {});
  return shapes.filter((each) => each.readable && each.shape.kind !== 'other').map((each) => each.shape);
}

/** lower_case_table_names 0: names differ by case. 1 and 2: they don't, and the catalog compares in lower case. */
async function foldsNames(connection: OpenConnection): Promise<boolean> {
  const [row] = await connection.query('SELECT @@lower_case_table_names', 'server variables');
  return row?.[0] !== '0';
}

/** Plain equality, which the catalog answers without opening every table; its collation may let more through than was asked for. */
function namedWhere(table: TableName, prefix = ''): string {
  return `${prefix}table_schema = ${quoteText(table.schema)} AND ${prefix}table_name = ${quoteText(table.name)}`;
}

function isNamed(found: TableName, asked: TableName, folds: boolean): boolean {
  const fold = (name: string): string => (folds ? name.toLowerCase() : name);
  return fold(found.schema) === fold(asked.schema) && fold(found.name) === fold(asked.name);
}

async function missing(connection: OpenConnection, table: string, database: string): Promise<TidemarkError> {
  const rows = await connection.query(`SELECT table_schema, table_name FROM information_schema.tables WHERE table_schema NOT IN ${SYSTEM_SCHEMAS} LIMIT 5000`, 'information_schema');
  const names = rows.map(([schema, name]) => (schema === database ? (name ?? '') : `${schema ?? ''}.${name ?? ''}`));
  const folded = new Map(names.map((name) => [name.toLowerCase(), name]));
  const near = names.length === 0 ? undefined : folded.get(closest(table.toLowerCase(), [...folded.keys()]));
  return new TidemarkError('source.table_missing', `Table ${table} does not exist in database ${database}, or the user may not see it.`, {
    hint: near === undefined ? 'The user sees no table at all: grant SELECT.' : `The nearest name is ${near}. Names of tables may be case-sensitive.`,
  });
}

/** One table by its written name. Throws `source.table_missing`, `source.table_ambiguous`, `source.privilege_missing`. */
export async function describeTable(connection: OpenConnection, database: string, written: string, choices: TypeChoices): Promise<TableFacts> {
  const folds = await foldsNames(connection);
  for (const reading of readingsOf(written, database)) {
    const found = (await readShapes(connection, namedWhere(reading), choices)).filter((each) => isNamed(each.shape, reading, folds));
    const [first] = found;
    if (first === undefined) continue;
    if (found.length > 1) throw new TidemarkError('source.table_ambiguous', `Table ${written} may mean ${found.length} tables that differ by case only.`);
    if (first.readable) return first;
    throw new TidemarkError('source.privilege_missing', `The user may not read table ${written}.`, { hint: `GRANT SELECT ON ${reading.schema}.${reading.name} TO the user.` });
  }
  for (const reading of readingsOf(written, database)) await requireVisible(connection, reading, written);
  throw await missing(connection, written, database);
}

/** The catalog hides tables that the user has no privilege on; the server, asked for one, says whether it is that. */
async function requireVisible(connection: OpenConnection, table: TableName, written: string): Promise<void> {
  try {
    await connection.query(`SELECT 1 FROM ${quoteTable(table)} LIMIT 0`, written);
  } catch (error) {
    if (!(error instanceof TidemarkError) || error.code !== 'source.privilege_missing') return;
    throw new TidemarkError('source.privilege_missing', `The user may not read table ${written}, if there is such a table.`, { hint: `GRANT SELECT ON ${table.schema}.${table.name} TO the user, or correct the name.`, cause: error });
  }
}

/** The storage engine of a table as described before; null for a view. */
export async function engineOf(connection: OpenConnection, table: TableName): Promise<string | null> {
  const tables = await readTables(connection, namedWhere(table));
  return tables.find((each) => each.schema === table.schema && each.name === table.name)?.engine ?? null;
}
