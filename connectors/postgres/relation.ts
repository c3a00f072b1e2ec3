/** What reading a stream needs to know of its table, from the catalog at the moment of the read. */
import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';
import type { StreamRead } from '../connector.ts';
import type { PostgresClient, TextRow } from './client.ts';
import { qualified, quoteName, quoteText } from './names.ts';
import type { PositionOwner } from './position.ts';

/** A column that rows are compared by. */
export interface OrderedColumn {
  readonly name: string;
  /** For comparing and sorting: byte order for text cursors, so that both sides agree whatever the collation. */
  readonly sql: string;
  /** Quoted name of the type that literals are cast to, without modifiers. */
  readonly cast: string;
  /** `timestamptz`, `int8`, ... under all domains. */
  readonly base: string;
  readonly formatted: string;
  /** The type has the values infinity and -infinity. */
  readonly infinite: boolean;
  /** An index of all rows begins with it: the highest values are found without a look at the table. */
  readonly indexed: boolean;
}

export interface Relation extends PositionOwner {
  /** For messages: `table sales.orders`. */
  readonly where: string;
  /** Quoted, with schema, under the alias `t` that all columns are written with: a bare name in ORDER BY would mean the text of an output column. */
  readonly from: string;
  readonly select: string;
  /** Rows carry the transaction that wrote them, and the user may see it. */
  readonly hasXmin: boolean;
  /** Rows may be written with earlier cursor values at any time: replicated here by logical replication. */
  readonly subscribed: boolean;
  readonly bytes: number;
  readonly leaves: string;
  /** Files of the leaves: others after a truncate or a rewrite. */
  readonly file: string;
  readonly order: OrderedColumn | null;
  /** Empty where it can't be used for paging: keyless, or a key column may be NULL. */
  readonly key: readonly OrderedColumn[];
  /** All columns are of types that both servers have. */
  readonly binary: boolean;
}

const RELATION = `WITH RECURSIVE tree(oid) AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
    UNION SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid),
  leaf AS (SELECT l.oid, l.relkind, am.amname FROM tree JOIN pg_class l ON l.oid = tree.oid LEFT JOIN pg_am am ON am.oid = l.relam WHERE l.relkind <> 'p')
  SELECT c.oid, c.relkind, has_table_privilege(c.oid, 'SELECT') AS whole,
    (SELECT coalesce(string_agg(oid::text, ',' ORDER BY oid), '') FROM leaf) AS leaves,
    (SELECT coalesce(string_agg(pg_relation_filenode(oid)::text, ',' ORDER BY oid), '') FROM leaf WHERE relkind = 'r') AS file,
    (SELECT coalesce(bool_and(relkind IN ('r', 'm') AND amname = 'heap'), true) FROM leaf) AS heap,
    (SELECT coalesce(sum(pg_relation_size(oid)), 0)::int8 FROM leaf WHERE relkind IN ('r', 'm')) AS bytes,
    EXISTS (SELECT FROM pg_subscription_rel s JOIN tree ON tree.oid = s.srrelid) AS subscribed
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`;

const COLUMNS = `SELECT a.attname, a.attnotnull, format_type(a.atttypid, a.atttypmod) AS formatted, b.typname AS base, quote_ident(bn.nspname) || '.' || quote_ident(b.typname) AS cast_to,
    EXISTS (SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree') AS indexed
  FROM pg_attribute a, LATERAL (WITH RECURSIVE d(oid, typname, typtype, typbasetype, typnamespace) AS (SELECT oid, typname, typtype, typbasetype, typnamespace FROM pg_type WHERE oid = a.atttypid
      UNION ALL SELECT p.oid, p.typname, p.typtype, p.typbasetype, p.typnamespace FROM d JOIN pg_type p ON p.oid = d.typbasetype WHERE d.typtype = 'd')
    SELECT typname, typnamespace FROM d WHERE typtype <> 'd') b JOIN pg_namespace bn ON bn.oid = b.typnamespace
  WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`;

/** Types that have an order a cursor can follow. */
const CURSOR_BASES = new Set(['timestamptz', 'timestamp', 'date', 'int2', 'int4', 'int8', 'numeric', 'float4', 'float8', 'oid', 'xid8', 'text', 'varchar', 'bpchar', 'uuid']);
const INFINITE = new Set(['timestamptz', 'timestamp', 'date', 'float4', 'float8']);
const BYTE_ORDERED = new Set(['text', 'varchar', 'bpchar']);

/** New rows are expected to have higher values than old ones. */
export function grows(order: OrderedColumn): boolean {
  return !BYTE_ORDERED.has(order.base) && order.base !== 'uuid';
}

/** Throws `source.table_missing`, `source.column_missing`, `source.cursor_missing`, `source.cursor_unusable`, `source.key_missing`. */
export async function loadRelation(client: PostgresClient, stream: StreamRead): Promise<Relation> {
  const { schema, name } = stream.table;
  const where = `table ${schema}.${name}`;
  const [row] = await client.rows(where, RELATION, [schema, name]);
  if (!row) throw new TidemarkError('source.table_missing', `${where}: it no longer exists.`, { hint: 'Check the table name with `tidemark discover`.' });
  const columns = new Map((await client.rows(where, COLUMNS, [row.oid ?? ''])).map((column) => [column.attname ?? '', column]));
  requireColumns(columns, stream.columns, 'source.column_missing', where);
  requireColumns(columns, stream.key, 'source.key_missing', where);
  const order = stream.cursor === null ? null : cursorColumn(columns, stream.cursor, client.server.version, where);
  const keyUsable = stream.key.every((column) => columns.get(column)?.attnotnull === 't');
  return {
    where,
    from: `${qualified(schema, name)} t`,
    select: stream.columns.map(quoteName).join(', '),
    server: client.server.identity,
    table: row.oid ?? '',
    cursor: stream.cursor,
    cursorType: order?.formatted ?? null,
    hasXmin: 'rpm'.includes(row.relkind ?? '') && row.heap === 't' && row.whole === 't',
    subscribed: row.subscribed === 't',
    bytes: Number(row.bytes),
    leaves: row.leaves ?? '',
    file: row.file ?? '',
    order,
    key: keyUsable ? stream.key.map((column) => keyColumn(columns, column)) : [],
    binary: binaryPossible(stream),
  };
}

/** A literal of the column's type. */
export function literal(column: OrderedColumn, value: string): string {
  return `${quoteText(value)}::${column.cast}`;
}

function requireColumns(columns: ReadonlyMap<string, TextRow>, names: readonly string[], code: ErrorCode, where: string): void {
  const missing = names.filter((name) => !columns.has(name));
  if (missing.length === 0) return;
  throw new TidemarkError(code, `${where}: ${missing.length === 1 ? 'column' : 'columns'} ${missing.join(', ')} no longer exist${missing.length === 1 ? 's' : ''}.`, {
    hint: 'Run `tidemark plan` to see how the table changed.',
  });
}

function cursorColumn(columns: ReadonlyMap<string, TextRow>, name: string, version: number, where: string): OrderedColumn {
  requireColumns(columns, [name], 'source.cursor_missing', where);
  const column = keyColumn(columns, name);
  if (!CURSOR_BASES.has(column.base)) {
    throw new TidemarkError('source.cursor_unusable', `${where}: column ${name} has type ${column.formatted}, which has no order that a cursor can follow.`, {
      hint: 'Choose a time, number or text column.',
    });
  }
  const infinite = INFINITE.has(column.base) || (column.base === 'numeric' && version >= 140_000);
  return { ...column, infinite, sql: BYTE_ORDERED.has(column.base) ? `${column.sql} COLLATE "C"` : column.sql };
}

function keyColumn(columns: ReadonlyMap<string, TextRow>, name: string): OrderedColumn {
  const row = columns.get(name);
  return { name, sql: `t.${quoteName(name)}`, cast: row?.cast_to ?? '', base: row?.base ?? '', formatted: row?.formatted ?? '', infinite: false, indexed: row?.indexed === 't' };
}

/** The target's type of a column that keeps its nature is the source's own: then both ends share the binary format. */
function binaryPossible(stream: StreamRead): boolean {
  const byName = new Map(stream.table.columns.map((column) => [column.name, column]));
  return stream.columns.every((name) => byName.get(name)?.nativeType === byName.get(name)?.pgType);
}
