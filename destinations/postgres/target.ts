import type { Session } from './session.ts';
import { boundedName, quoteIdent, quoteTable, type TableName } from './identifiers.ts';

/** The ledger's batch that last wrote a row; the last column that Tidemark adds to a target. */
export const BATCH_COLUMN = '_tidemark_batch';

/** A column by its name and its type as `format_type` prints it. */
export interface TypedColumn {
  readonly name: string;
  readonly type: string;
}

/** What the destination's catalog says of a table. */
export interface TableFacts {
  readonly oid: string;
  /** `r` table, `p` partitioned, `v` view, ... as in pg_class.relkind. */
  readonly relkind: string;
  readonly columns: readonly (TypedColumn & { readonly notNull: boolean; readonly generated: boolean; readonly hasDefault: boolean })[];
  /** Column sets of unique indexes (the primary key's first) that ON CONFLICT can use. */
  readonly uniqueKeys: readonly (readonly string[])[];
  readonly hasRows: boolean;
  /**
   * Somebody has hung things on this very table that another table of its name would not have: views, foreign keys, unique or exclusion
   * constraints, triggers, rules, policies.
   */
  readonly hasDependents: boolean;
}

/** Reads a table's facts, or null where there is none. */
export async function inspectTable(session: Session, table: TableName): Promise<TableFacts | null> {
  const { rows } = await session.query<{ oid: string; relkind: string; dependents: boolean }>(
    `select c.oid::text, c.relkind::text,
       exists (select from pg_depend d join pg_rewrite r on r.oid = d.objid where d.classid = 'pg_rewrite'::regclass and d.refobjid = c.oid and r.ev_class <> c.oid)
         or exists (select from pg_constraint k where k.confrelid = c.oid and k.conrelid <> c.oid)
         or exists (select from pg_constraint k where k.conrelid = c.oid and k.contype in ('u', 'x', 'f'))
         or exists (select from pg_trigger t where t.tgrelid = c.oid and not t.tgisinternal)
         or exists (select from pg_policy p where p.polrelid = c.oid)
         or exists (select from pg_rewrite r where r.ev_class = c.oid) and c.relkind = 'r' as dependents
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2`,
    [table.schema, table.name],
  );
  const found = rows[0];
  if (!found) return null;
  const readable = found.relkind === 'r' || found.relkind === 'p';
  const { rows: any } = readable ? await session.query<{ some: boolean }>(`select exists (select from ${quoteTable(table)}) as some`) : { rows: [] };
  return {
    oid: found.oid,
    relkind: found.relkind,
    columns: await columnsOf(session, found.oid),
    uniqueKeys: await uniqueKeysOf(session, found.oid),
    hasRows: any[0]?.some ?? false,
    hasDependents: found.dependents,
  };
}

async function columnsOf(session: Session, oid: string): Promise<TableFacts['columns']> {
  const { rows } = await session.query<{ name: string; type: string; not_null: boolean; generated: boolean; has_default: boolean }>(
    `select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as not_null,
       attgenerated <> '' or attidentity = 'a' as generated, atthasdef or attidentity <> '' as has_default
     from pg_attribute where attrelid = $1::oid and attnum > 0 and not attisdropped order by attnum`,
    [oid],
  );
  return rows.map((row) => ({ name: row.name, type: row.type, notNull: row.not_null, generated: row.generated, hasDefault: row.has_default }));
}

async function uniqueKeysOf(session: Session, oid: string): Promise<string[][]> {
  const { rows } = await session.query<{ names: string[] }>(
    `select array(select a.attname::text from unnest(i.indkey::int[]) with ordinality k(n, o) join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.n order by k.o) as names
     from pg_index i where i.indrelid = $1::oid and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
     order by not i.indisprimary, i.indexrelid`,
    [oid],
  );
  return rows.map((row) => row.names);
}

/** The types as this server prints them (`int` → `integer`), in order. Fails where one is unknown here. */
export async function canonicalTypes(session: Session, types: readonly string[]): Promise<string[]> {
  if (types.length === 0) return [];
  const probe = quoteIdent(`tidemark_types_${process.pid}_${Math.floor(performance.now() * 1000)}`);
  await session.query(`create temporary table ${probe} (${types.map((type, i) => `c${i} ${type}`).join(', ')})`);
  try {
    const { rows } = await session.query<{ type: string }>(
      'select format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = $1::regclass and attnum > 0 order by attnum',
      [probe],
    );
    return rows.map((row) => row.type);
  } finally {
    await session.query(`drop table ${probe}`);
  }
}

/** Creates the target with its key, ready for the first row. */
export async function createTarget(session: Session, table: TableName, columns: readonly TypedColumn[], key: readonly string[]): Promise<void> {
  await session.query(`create schema if not exists ${quoteIdent(table.schema)}`);
  const lines = columns.map((column) => `${quoteIdent(column.name)} ${column.type}`);
  lines.push(`${quoteIdent(BATCH_COLUMN)} bigint`);
  if (key.length > 0) lines.push(`primary key (${key.map(quoteIdent).join(', ')})`);
  await session.query(`create table ${quoteTable(table)} (${lines.join(', ')})`);
}

export async function addColumns(session: Session, table: TableName, columns: readonly TypedColumn[]): Promise<void> {
  for (const column of columns) {
    await session.query(`alter table ${quoteTable(table)} add column if not exists ${quoteIdent(column.name)} ${column.type}`);
  }
}

/** Gives the target the unique index that an upsert by `key` needs. */
export async function addUniqueKey(session: Session, table: TableName, key: readonly string[]): Promise<void> {
  await session.query(`create unique index on ${quoteTable(table)} (${key.map(quoteIdent).join(', ')})`);
}

/** The name of a generation's table while it is built, and of one that was swapped out. */
export function generationName(target: TableName, generation: number): TableName {
  return { schema: 'tidemark_stage', name: boundedName(`g${generation}_${target.schema}.${target.name}`) };
}
