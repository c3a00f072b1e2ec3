/** Tables and views from Oracle's catalog (`ALL_…`: what the user may read). */
import { closest } from 'fastest-levenshtein';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column, TableShape } from '../../schemas/table.ts';
import type { OracleClient } from './client.ts';
import { shortText } from './driver.ts';
import { chooseKey, type KeyColumn } from './keys.ts';
import { targetNames } from '../folded-names.ts';
import { parseName } from './names.ts';
import { Binds, type Statement } from './binds.ts';
import { nativeTypeOf, typeOf } from './types.ts';

interface TableName {
  readonly schema: string;
  readonly name: string;
}

type Row = readonly (string | null)[];

/** A materialized view is a table of the same name as well; parts of index-organized tables and of nested tables are no tables of their own. */
const TABLES = `SELECT o.owner, o.object_name, o.object_type, TO_CHAR(o.object_id), NVL(t.partitioned, 'NO'), TO_CHAR(t.num_rows), TO_CHAR(t.num_rows * t.avg_row_len)
FROM all_objects o LEFT JOIN all_tables t ON t.owner = o.owner AND t.table_name = o.object_name
WHERE o.object_type IN ('TABLE', 'VIEW') AND o.object_name NOT LIKE 'BIN$%' AND NVL(t.nested, 'NO') = 'NO' AND NVL(t.iot_type, 'IOT') = 'IOT'`;

/** Columns that the user made, hidden (invisible) and virtual ones too. */
const COLUMNS = `SELECT c.owner, c.table_name, c.column_name, c.data_type, c.data_type_owner, TO_CHAR(c.data_precision), TO_CHAR(c.data_scale), TO_CHAR(c.data_length), TO_CHAR(c.char_length), c.char_used, c.nullable
FROM all_tab_cols c WHERE (c.hidden_column = 'NO' OR c.user_generated = 'YES')`;

const CONSTRAINTS = `SELECT k.owner, k.table_name, k.constraint_type || ' ' || k.constraint_name, kc.column_name
FROM all_constraints k JOIN all_cons_columns kc ON kc.owner = k.owner AND kc.constraint_name = k.constraint_name AND kc.table_name = k.table_name
WHERE k.constraint_type IN ('P', 'U') AND k.status = 'ENABLED' AND k.validated = 'VALIDATED'`;

const INDEXES = `SELECT i.table_owner, i.table_name, DECODE(i.uniqueness, 'UNIQUE', 'X ', 'I ') || i.owner || '.' || i.index_name, ic.column_name
FROM all_indexes i JOIN all_ind_columns ic ON ic.index_owner = i.owner AND ic.index_name = i.index_name
WHERE i.status <> 'UNUSABLE'`;

/** Schemas that Oracle made are left out of a discovery. */
const OWN_SCHEMAS = (column: string): string => ` AND ${column} NOT IN (SELECT u.username FROM all_users u WHERE u.oracle_maintained = 'Y')`;

const ORDERED = { columns: ' ORDER BY c.owner, c.table_name, NVL(c.column_id, 100000), c.internal_column_id', constraints: ' ORDER BY k.owner, k.table_name, 3, kc.position', indexes: ' ORDER BY i.table_owner, i.table_name, 3, ic.column_position' };

/** All tables and views of schemas that are not Oracle's own. */
export async function discoverTables(client: OracleClient): Promise<readonly TableShape[]> {
  const ask = (sql: string): Promise<readonly Row[]> => textRows(client, new Binds().statement(sql));
  const tables = await ask(`${TABLES}${OWN_SCHEMAS('o.owner')} ORDER BY o.owner, o.object_name`);
  const columns = grouped(await ask(`${COLUMNS}${OWN_SCHEMAS('c.owner')}${ORDERED.columns}`));
  const constraints = grouped(await ask(`${CONSTRAINTS}${OWN_SCHEMAS('k.owner')}${ORDERED.constraints}`));
  const indexes = grouped(await ask(`${INDEXES}${OWN_SCHEMAS('i.table_owner')}${ORDERED.indexes}`));
  return tables.map((row) => {
    const place = placeOf(row);
    return shapeOf(row, columns.get(place) ?? [], constraints.get(place) ?? [], indexes.get(place) ?? []);
  });
}

/** See {@link SourceSession.describe}; `schema` is the session's current one. */
export async function describeTable(client: OracleClient, schema: string, written: string): Promise<TableShape> {
  const row = await findTable(client, schema, written);
  const [owner = null, name = null] = row;
  const ask = (sql: string, ownerColumn: string, nameColumn: string, order: string): Promise<readonly Row[]> => {
    const binds = new Binds();
    return textRows(client, binds.statement(`${sql} AND ${ownerColumn} = ${binds.add(owner ?? '')} AND ${nameColumn} = ${binds.add(name ?? '')}${order}`));
  };
  const columns = await ask(COLUMNS, 'c.owner', 'c.table_name', ORDERED.columns);
  const constraints = await ask(CONSTRAINTS, 'k.owner', 'k.table_name', ORDERED.constraints);
  const indexes = await ask(INDEXES, 'i.table_owner', 'i.table_name', ORDERED.indexes);
  return shapeOf(row, columns, constraints, indexes);
}

/** First the name exactly as written, then as Oracle reads it, in the current schema, as a synonym, and last in any one schema. */
async function findTable(client: OracleClient, schema: string, written: string): Promise<Row> {
  const parts = parseName(written);
  const read: TableName | null = parts === null || parts.length > 2 ? null : parts.length === 2 ? { schema: parts[0] as string, name: parts[1] as string } : { schema, name: parts[0] as string };
  const names = [...new Set([written, ...(read === null ? [] : [read.name])])];
  const found = await tablesNamed(client, names);
  const exact = [{ schema, name: written }, ...(read === null ? [] : [read])];
  for (const wanted of exact) {
    const row = found.find(([owner, name]) => owner === wanted.schema && name === wanted.name);
    if (row !== undefined) return row;
  }
  const viaSynonym = read === null ? null : await synonymOf(client, read);
  if (viaSynonym !== null) return viaSynonym;
  const elsewhere = parts?.length === 1 ? found : [];
  if (elsewhere.length > 1) throw new TidemarkError('source.table_ambiguous', `Table ${written} stands in several schemas: ${elsewhere.map(([owner]) => owner).join(', ')}.`, { hint: 'Write it as schema.table, or set connection.schema.' });
  return elsewhere[0] ?? (await missing(client, read?.schema ?? schema, read?.name ?? written, written));
}

async function tablesNamed(client: OracleClient, names: readonly string[]): Promise<readonly Row[]> {
  const binds = new Binds();
  return textRows(client, binds.statement(`${TABLES} AND o.object_name IN (${names.map((name) => binds.add(name)).join(', ')})`));
}

async function synonymOf(client: OracleClient, wanted: TableName): Promise<Row | null> {
  const binds = new Binds();
  const sql = `SELECT s.table_owner, s.table_name FROM all_synonyms s WHERE s.synonym_name = ${binds.add(wanted.name)} AND s.owner IN (${binds.add(wanted.schema)}, 'PUBLIC') AND s.db_link IS NULL ORDER BY DECODE(s.owner, 'PUBLIC', 2, 1)`;
  const [target] = await textRows(client, binds.statement(sql));
  if (target === undefined) return null;
  const [owner = null, name = null] = target;
  return (await tablesNamed(client, [name ?? ''])).find((row) => row[0] === owner) ?? null;
}

async function missing(client: OracleClient, schema: string, name: string, written: string): Promise<never> {
  const binds = new Binds();
  const names = (await textRows(client, binds.statement(`SELECT o.object_name FROM all_objects o WHERE o.owner = ${binds.add(schema)} AND o.object_type IN ('TABLE', 'VIEW')`))).map(([each]) => each ?? '');
  const near = names.length === 0 ? '' : ` The nearest name in schema ${schema} is ${closest(name, names)}.`;
  throw new TidemarkError('source.table_missing', `Table ${written} does not exist, or the user may not read it.`, { hint: `Check the name with \`tidemark discover\`, and grant SELECT on it.${near}` });
}

async function textRows(client: OracleClient, statement: Statement): Promise<readonly Row[]> {
  const rows = await client.rows(statement, 'the catalog');
  return rows.map((row) => row.map(shortText));
}

const placeOf = ([owner, name]: Row): string => JSON.stringify([owner, name]);

function grouped(rows: readonly Row[]): ReadonlyMap<string, readonly Row[]> {
  return Map.groupBy(rows, placeOf);
}

function shapeOf(table: Row, columnRows: readonly Row[], constraintRows: readonly Row[], indexRows: readonly Row[]): TableShape {
  const [schema, name, type, identity, partitioned, rows, bytes] = table;
  const targets = targetNames(columnRows.map((row) => row[2] ?? ''));
  const columns = columnRows.map((row, index) => columnFrom(row, targets[index] as string));
  const keyColumns = (from: readonly Row[]): readonly KeyColumn[] => from.map(([, , index, column]) => ({ index: index ?? '', column: column ?? '' }));
  const { key, indexedColumns } = chooseKey(columns, keyColumns(constraintRows), keyColumns(indexRows));
  return {
    schema: schema ?? '',
    name: name ?? '',
    kind: type === 'VIEW' ? 'view' : partitioned === 'YES' ? 'partitioned' : 'table',
    identity: identity ?? '',
    columns,
    key,
    indexedColumns,
    rowEstimate: Number(rows ?? -1),
    bytesEstimate: Number(bytes ?? -1),
  };
}

function columnFrom(row: Row, targetName: string): Column {
  const [, , name, dataType, owner = null, precision = null, scale = null, length, characters, semantics = null, nullable] = row;
  const nativeType = nativeTypeOf({ dataType: dataType ?? '', owner, precision, scale, length: length ?? '0', characters: characters ?? '0', semantics });
  const { pgType, order, note } = typeOf(nativeType);
  return { name: name ?? '', targetName, nativeType, pgType, nullable: nullable !== 'N', order, ...(note === undefined ? {} : { note }) };
}
