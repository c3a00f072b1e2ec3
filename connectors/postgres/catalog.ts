/** What the catalog says of tables and views: names, columns, keys, indexes, sizes, privileges. */
import { distance } from 'fastest-levenshtein';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column, TableShape } from '../../schemas/table.ts';
import type { PostgresClient, TextRow } from './client.ts';
import { type NamePart, spellings, splitName, targetNames } from './names.ts';
import { type NativeType, orderOf, targetType } from './types.ts';

const KINDS: Readonly<Record<string, TableShape['kind']>> = { r: 'table', p: 'partitioned', v: 'view', m: 'view', f: 'other' };
const NEAREST_MAX = 3;

const READABLE = `(has_schema_privilege(c.relnamespace, 'USAGE') AND (has_table_privilege(c.oid, 'SELECT') OR has_any_column_privilege(c.oid, 'SELECT')))`;
const CANDIDATE = `c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'`;
const OURS = `n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_toast%'`;

/** All tables and views that the user may read; partitions are part of their parent. */
export async function discoverTables(client: PostgresClient): Promise<readonly TableShape[]> {
  const found = await client.rows('the catalog', `SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE ${CANDIDATE} AND ${OURS} AND NOT c.relispartition AND ${READABLE} ORDER BY n.nspname, c.relname`);
  return loadShapes(client, found.map((row) => row.oid ?? ''));
}

/** Throws `source.table_missing`, `source.table_ambiguous`, `source.privilege_missing`. */
export async function describeTable(client: PostgresClient, written: string): Promise<TableShape> {
  const oid = await resolveTable(client, written);
  await requirePrivileges(client, oid, written);
  const [shape] = await loadShapes(client, [oid]);
  if (!shape) throw tableMissing(written, []);
  return shape;
}

/** OID of the table that a written name means: as written in the search path, then as SQL reads it, then in any one schema. */
async function resolveTable(client: PostgresClient, written: string): Promise<string> {
  const parts = splitName(written) ?? [];
  const [schemaPart, namePart] = parts.length === 3 ? parts.slice(1) : parts.length === 2 ? parts : [undefined, parts[0]];
  const names = namePart ? spellings(namePart) : [];
  const schemas = schemaPart ? spellings(schemaPart) : [];
  const rows = await client.rows(`table ${written}`, `SELECT c.oid, n.nspname, c.relname, array_position(current_schemas(true), n.nspname) AS place
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE ${CANDIDATE} AND c.relname IN (SELECT json_array_elements_text($1)) ORDER BY place NULLS LAST, n.nspname`, [JSON.stringify([written, ...names])]);
  const inPath = (name: string): TextRow | undefined => rows.find((row) => row.relname === name && row.place !== null);
  const exact = inPath(written);
  if (exact) return exact.oid ?? '';
  for (const name of names) {
    const found = schemas.length === 0 ? inPath(name) : schemas.map((schema) => rows.find((row) => row.relname === name && row.nspname === schema)).find(Boolean);
    if (found) return found.oid ?? '';
  }
  const elsewhere = schemas.length > 0 ? [] : rows.filter((row) => names.includes(row.relname ?? '') && row.nspname !== 'information_schema');
  if (elsewhere.length === 1) return elsewhere[0]?.oid ?? '';
  if (elsewhere.length > 1) {
    throw new TidemarkError('source.table_ambiguous', `Table ${written} stands in more than one schema.`, {
      hint: `Write one of ${elsewhere.slice(0, NEAREST_MAX).map((row) => `${row.nspname}.${row.relname}`).join(', ')}.`,
    });
  }
  throw tableMissing(written, await nearestNames(client, namePart ?? { text: written, quoted: false }));
}

async function nearestNames(client: PostgresClient, part: NamePart): Promise<readonly string[]> {
  const wanted = part.text.toLowerCase();
  const rows = await client.rows('the catalog', `SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE ${CANDIDATE} AND ${OURS} AND ${READABLE} LIMIT 10000`);
  return rows
    .map((row) => ({ name: `${row.nspname}.${row.relname}`, far: distance(wanted, (row.relname ?? '').toLowerCase()) }))
    .filter(({ far }) => far <= Math.max(2, wanted.length / 2))
    .sort((a, b) => a.far - b.far)
    .slice(0, NEAREST_MAX)
    .map(({ name }) => name);
}

function tableMissing(written: string, nearest: readonly string[]): TidemarkError {
  const hint = nearest.length > 0 ? `Did you mean ${nearest.join(' or ')}?` : 'Check connection.database and the name, or list what is there with `tidemark discover`.';
  return new TidemarkError('source.table_missing', `Table ${written} does not exist.`, { hint });
}

async function requirePrivileges(client: PostgresClient, oid: string, written: string): Promise<void> {
  const facts = await client.row(`table ${written}`, `SELECT has_schema_privilege(c.relnamespace, 'USAGE') AS schema_usable, n.nspname,
      has_table_privilege(c.oid, 'SELECT') AS whole, row_security_active(c.oid) AS hides_rows, current_user AS who,
      (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND NOT has_column_privilege(c.oid, a.attnum, 'SELECT')) AS columns
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1`, [oid]);
  if (facts.schema_usable === 'f') {
    throw privilegeMissing(`User ${facts.who} may not use schema ${facts.nspname}.`, `GRANT USAGE ON SCHEMA ${facts.nspname} TO ${facts.who};`);
  }
  if (facts.columns !== null) {
    const which = facts.whole === 'f' ? `columns ${facts.columns}` : 'the table';
    throw privilegeMissing(`User ${facts.who} may not read ${which} of ${written}.`, `GRANT SELECT ON ${written} TO ${facts.who};`);
  }
  if (facts.hides_rows === 't') {
    throw privilegeMissing(`Row security policies of ${written} hide rows from user ${facts.who}.`, `Read as the table's owner, or ALTER ROLE ${facts.who} BYPASSRLS;`);
  }
}

function privilegeMissing(message: string, hint: string): TidemarkError {
  return new TidemarkError('source.privilege_missing', message, { hint });
}

/** Shapes in the order of `oids`. */
async function loadShapes(client: PostgresClient, oids: readonly string[]): Promise<readonly TableShape[]> {
  if (oids.length === 0) return [];
  const wanted = [`{${oids.join(',')}}`];
  const relations = await client.rows('the catalog', RELATIONS, wanted);
  const columns = groupByOid(await client.rows('the catalog', COLUMNS, wanted));
  const indexes = groupByOid(await client.rows('the catalog', INDEXES, wanted));
  const byOid = new Map(relations.map((row) => [row.oid ?? '', row]));
  return oids.flatMap((oid) => {
    const row = byOid.get(oid);
    return row ? [toShape(row, columns.get(oid) ?? [], indexes.get(oid) ?? [])] : [];
  });
}

/** Sizes are those of the leaves for a partitioned table. -1: never analyzed. */
const RELATIONS = `SELECT c.oid, n.nspname, c.relname, c.relkind, s.pages * current_setting('block_size')::int8 AS bytes, s.rows
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
  LATERAL (SELECT CASE WHEN bool_or(l.reltuples < 0) OR count(*) = 0 THEN -1 ELSE sum(l.reltuples)::int8 END AS rows, coalesce(sum(l.relpages), 0)::int8 AS pages
    FROM pg_class l WHERE l.oid = c.oid AND c.relkind <> 'p' OR l.oid IN (SELECT t.relid FROM pg_partition_tree(c.oid) t WHERE t.isleaf AND c.relkind = 'p')) s
  WHERE c.oid = ANY($1::oid[])`;

const COLUMNS = `SELECT a.attrelid AS oid, a.attname, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS formatted, t.typname, t.typtype,
    tn.nspname = 'pg_catalog' AS built_in, CASE WHEN t.typelem <> 0 AND t.typlen = -1 THEN e.typname END AS element, b.typname AS base
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace LEFT JOIN pg_type e ON e.oid = t.typelem,
  LATERAL (WITH RECURSIVE d(oid, typname, typtype, typbasetype) AS (SELECT t.oid, t.typname, t.typtype, t.typbasetype
      UNION ALL SELECT p.oid, p.typname, p.typtype, p.typbasetype FROM d JOIN pg_type p ON p.oid = d.typbasetype WHERE d.typtype = 'd')
    SELECT typname FROM d WHERE typtype <> 'd') b
  WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`;

/** `columns` is null for an index over an expression; `usable` means: unique over NOT NULL columns, whole, valid and not deferred. */
const INDEXES = `SELECT i.indrelid AS oid, i.indisprimary, i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND NOT bool_or(a.attname IS NULL OR NOT a.attnotnull) AS usable,
    CASE WHEN i.indpred IS NULL THEN (array_agg(a.attname ORDER BY k.place))[1] END AS first, json_agg(a.attname ORDER BY k.place) AS columns
  FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place) LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND a.attnum > 0
  WHERE i.indrelid = ANY($1::oid[]) AND k.place <= i.indnkeyatts
  GROUP BY i.indexrelid ORDER BY i.indisprimary DESC, count(*), i.indexrelid`;

function toShape(row: TextRow, columnRows: readonly TextRow[], indexRows: readonly TextRow[]): TableShape {
  const targets = targetNames(columnRows.map((column) => column.attname ?? ''));
  const keyRow = indexRows.find((index) => index.indisprimary === 't') ?? indexRows.find((index) => index.usable === 't');
  return {
    schema: row.nspname ?? '',
    name: row.relname ?? '',
    kind: KINDS[row.relkind ?? ''] ?? 'other',
    identity: row.oid ?? '',
    columns: columnRows.map((column, i) => toColumn(column, targets[i] ?? '')),
    key: keyRow ? namesIn(keyRow.columns) : [],
    indexedColumns: [...new Set(indexRows.flatMap((index) => (index.first === null || index.first === undefined ? [] : [index.first])))],
    rowEstimate: row.relkind === 'v' || row.relkind === 'f' ? -1 : Number(row.rows),
    bytesEstimate: row.relkind === 'v' || row.relkind === 'f' ? -1 : Number(row.bytes),
  };
}

/** Names of an index's columns, as the catalog's JSON has them. */
function namesIn(json: string | null | undefined): readonly string[] {
  const parsed: unknown = JSON.parse(json ?? '[]');
  return Array.isArray(parsed) ? parsed.filter((name) => typeof name === 'string') : [];
}

function toColumn(row: TextRow, targetName: string): Column {
  const type: NativeType = {
    formatted: row.formatted ?? '',
    name: row.typname ?? '',
    builtIn: row.built_in === 't',
    kind: row.typtype ?? '',
    element: row.element ?? null,
    base: row.base ?? '',
  };
  return { name: row.attname ?? '', targetName, nativeType: type.formatted, nullable: row.attnotnull !== 't', order: orderOf(type), ...targetType(type) };
}

function groupByOid(rows: readonly TextRow[]): Map<string, TextRow[]> {
  const groups = new Map<string, TextRow[]>();
  for (const row of rows) {
    const group = groups.get(row.oid ?? '');
    if (group) group.push(row);
    else groups.set(row.oid ?? '', [row]);
  }
  return groups;
}
