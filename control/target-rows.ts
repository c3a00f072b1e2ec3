/** How many rows targets hold: counted where that is cheap, else estimated from a sample of their pages. */
import { parseTableName, quoteTable, type TableName } from '../destinations/postgres/identifiers.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { Session } from '../destinations/postgres/session.ts';

/** Tables up to this size are counted (32 MB); of larger ones this many pages are looked at. The statistics of a table that was just loaded say nothing. */
const PAGES_MAX = 4_096;
/** A target that is locked or slow is not waited for. */
const STATEMENT_MAX_MS = 5_000;
const LOCK_MAX_MS = 1_000;

export interface RowCount {
  /** Null where it could not be told. */
  readonly rows: number | null;
  readonly exact: boolean;
}

const UNKNOWN: RowCount = { rows: null, exact: false };

/** Rows of each target (`schema.table`). A target that does not exist yet, is locked, or may not be read counts as unknown. */
export async function countTargets(destination: Destination, targets: readonly string[]): Promise<Map<string, RowCount>> {
  return destination.session('counting rows', async (session) => {
    const counts = new Map<string, RowCount>();
    for (const target of targets) counts.set(target, await countTarget(session, target));
    return counts;
  });
}

async function countTarget(session: Session, target: string): Promise<RowCount> {
  await session.query('begin read only');
  try {
    await session.query(`set local statement_timeout = ${STATEMENT_MAX_MS}; set local lock_timeout = ${LOCK_MAX_MS}`);
    const table = parseTableName(target);
    const pages = await pagesOf(session, table);
    const count = pages === null ? UNKNOWN : pages <= PAGES_MAX ? await countAll(session, table) : await countSample(session, table, pages);
    await session.query('commit');
    return count;
  } catch {
    await session.query('rollback');
    return UNKNOWN;
  }
}

async function pagesOf(session: Session, table: TableName): Promise<number | null> {
  const { rows } = await session.query<{ pages: number }>(
    `select (case c.relkind when 'p' then (select sum(pg_relation_size(relid)) from pg_partition_tree(c.oid)) else pg_relation_size(c.oid) end / current_setting('block_size')::int)::float8 as pages
     from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')`,
    [table.schema, table.name],
  );
  return rows[0]?.pages ?? null;
}

async function countAll(session: Session, table: TableName): Promise<RowCount> {
  const { rows } = await session.query<{ n: number }>(`select count(*)::float8 as n from ${quoteTable(table)}`);
  return { rows: rows[0]!.n, exact: true };
}

async function countSample(session: Session, table: TableName, pages: number): Promise<RowCount> {
  const share = PAGES_MAX / pages;
  const { rows } = await session.query<{ n: number }>(`select count(*)::float8 as n from ${quoteTable(table)} tablesample system (${share * 100}) repeatable (0)`);
  return { rows: Math.round(rows[0]!.n / share), exact: false };
}
