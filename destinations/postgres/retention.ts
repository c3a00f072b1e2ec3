/**
 * Rows of a target that are older than they may be kept. The age is that of a column by the destination's clock in UTC, in calendar periods as
 * PostgreSQL's intervals count them; a row without a value there has no age and stays.
 */
import { DELETED_COLUMN } from './digest.ts';
import { emitEvent } from './events.ts';
import { formatTableName, quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import type { Merge } from './merge.ts';
import type { Session } from './session.ts';
import { loadedColumns, REJECT_COLUMN, SUPERSEDED_COLUMN, type Stage } from './stage.ts';
import { BATCH_COLUMN } from './target.ts';
import { touchedDelete, type TouchLog } from './touch.ts';

/** How long rows are kept: `keep` is a period in PostgreSQL's words (`7 years`), `type` the target column's as `format_type` prints it. */
export interface Retention {
  readonly column: string;
  readonly type: string;
  readonly keep: string;
}

export interface RetentionScope {
  readonly source: string;
  readonly stream: string;
  readonly runId: string | null;
  readonly target: TableName;
  readonly retention: Retention;
}

/** SQL that is true where `value`, an expression of the column's type, lies before what is kept; a day that has begun to be kept is kept whole. NULL for NULL. */
export function isPast({ type, keep }: Retention, value: string): string {
  const cutoff = `((now() at time zone 'UTC') - interval ${quoteLiteral(keep)})`;
  if (type === 'date') return `${value} < ${cutoff}::date`;
  return type.endsWith('with time zone') ? `${value} < ${cutoff} at time zone 'UTC'` : `${value} < ${cutoff}`;
}

/** {@link isPast} over a table's rows under the alias `t`. */
export function pastRow(retention: Retention): string {
  return isPast(retention, `t.${quoteIdent(retention.column)}`);
}

/** `marks`: without rows that are marked as deleted. */
export async function countPast(session: Session, target: TableName, retention: Retention, marks = false): Promise<number> {
  const { rows } = await session.query<{ n: string }>(`select count(*) as n from ${quoteTable(target)} t where ${pastRow(retention)}${marks ? ` and t.${DELETED_COLUMN} is null` : ''}`);
  return Number(rows[0]!.n);
}

/** Marks the stage's good rows that are past as superseded: time has overtaken them, they are not written. */
export async function markPast(session: Session, stage: Stage, retention: Retention): Promise<void> {
  await session.query(`update ${quoteTable(stage.table)} s set ${SUPERSEDED_COLUMN} = true where s.${SUPERSEDED_COLUMN} is not true and ${stagedPast(stage, retention)}`);
}

/** A rejected row's text may be no value of the type, and nothing orders the conditions of a query but CASE. */
function stagedPast(stage: Stage, retention: Retention): string {
  const value = loadedColumns(stage).find(({ name }) => name === retention.column)!.sql;
  return `case when s.${REJECT_COLUMN} is null then ${isPast(retention, value)} else false end`;
}

/**
 * Deletes the target's row of each staged row that is past, before the batch is merged: the source has moved that row out of what is kept. A row
 * that a later batch wrote stays. Counted and told apart from the batch.
 */
export async function deleteOvertaken(session: Session, merge: Merge, scope: RetentionScope): Promise<void> {
  if (merge.key.length === 0 || merge.onKnownKey === 'keep') return;
  const { stage, into, batch } = merge;
  const same = merge.key.map((name) => `t.${quoteIdent(name)} = ${loadedColumns(stage).find((column) => column.name === name)!.sql}`).join(' and ');
  const deletion = `delete from ${quoteTable(into)} t using ${quoteTable(stage.table)} s
    where s.${SUPERSEDED_COLUMN} and ${stagedPast(stage, scope.retention)} and ${same} and coalesce(t.${BATCH_COLUMN}, 0) < ${batch}::bigint`;
  const { rowCount } = await session.query(touchedDelete(merge.touchLog ?? null, batch, deletion));
  await recordRetention(session, scope, rowCount ?? 0, batch);
}

/** Writes down that rows went, in the transaction in which they do; nothing where none did. */
export async function recordRetention(session: Session, scope: RetentionScope, rows: number, batch: number | null): Promise<void> {
  if (rows === 0) return;
  const { source, stream, runId, retention: { column, keep } } = scope;
  const target = formatTableName(scope.target);
  const { rows: made } = await session.query<{ cutoff: string }>(
    `insert into tidemark.retention (source, stream, run_id, batch, target, "column", keep, cutoff, rows) values ($1, $2, $3, $4, $5, $6, $7, ((now() at time zone 'UTC') - $7::text::interval) at time zone 'UTC', $8)
     returning to_char(cutoff at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as cutoff`,
    [source, stream, runId, batch, target, column, keep, rows],
  );
  await emitEvent(session, { type: 'RetentionApplied', source, stream, data: { target, column, keep, cutoff: made[0]!.cutoff, rows } });
}

/** Rows that one transaction of a pass deletes at most. */
export const RETENTION_ROWS_MAX = 5_000;

export interface PagesLooked {
  readonly deleted: number;
  /** The range may hold more. */
  readonly full: boolean;
  /** Nothing lies behind the range. */
  readonly end: boolean;
}

/** Deletes at most {@link RETENTION_ROWS_MAX} rows that are past from `pages` pages of the target, from page `from` on; in the caller's transaction. */
export async function deletePast(session: Session, scope: RetentionScope, from: number, pages: number, touchLog: TouchLog | null, batch: number | null): Promise<PagesLooked> {
  const table = quoteTable(scope.target);
  const past = pastRow(scope.retention);
  const range = `t.ctid >= '(${from},0)'::tid and t.ctid < '(${from + pages},0)'::tid`;
  // The condition stands outside as well: a row that changes meanwhile is looked at again by it.
  const deletion = `delete from ${table} t where t.ctid = any (array(select t.ctid from ${table} t where ${range} and ${past} limit ${RETENTION_ROWS_MAX})) and ${past}`;
  const { rowCount } = await session.query(batch === null ? deletion : touchedDelete(touchLog, batch, deletion));
  const { rows } = await session.query<{ pages: number }>("select (pg_relation_size($1::regclass) / current_setting('block_size')::int)::int as pages", [table]);
  return { deleted: rowCount ?? 0, full: (rowCount ?? 0) >= RETENTION_ROWS_MAX, end: from + pages >= rows[0]!.pages };
}

/** Where a stream's pass over its target stands. */
export interface RetentionPass {
  /** The next page to look at. */
  readonly page: number;
  /** A pass under the same rule has ended within the last {@link PASS_EVERY}. */
  readonly rested: boolean;
}

/** Ages grow by the clock, also where no row comes. */
const PASS_EVERY = "interval '1 hour'";

/** SQL over a stream `s` of the catalog: its retention is due. */
export const RETENTION_DUE = `jsonb_typeof(s.plan->'retention') = 'object' and not exists (select from tidemark.retention_pass p
  where p.source = s.source and p.stream = s.stream and p.rule = s.plan->'retention' and p.ended_at > clock_timestamp() - ${PASS_EVERY})`;

export async function readPass(session: Session, source: string, stream: string, retention: Retention): Promise<RetentionPass> {
  const { rows } = await session.query<RetentionPass>(
    `select page, ended_at > clock_timestamp() - ${PASS_EVERY} as rested from tidemark.retention_pass where source = $1 and stream = $2 and rule = $3::jsonb and (ended_at is null or ended_at > clock_timestamp() - ${PASS_EVERY})`,
    [source, stream, ruleOf(retention)],
  );
  return rows[0] ? { page: rows[0].page, rested: rows[0].rested === true } : { page: 0, rested: false };
}

/** Keeps how far a pass came: the next run goes on there. */
export async function savePass(session: Session, source: string, stream: string, retention: Retention, page: number, ended: boolean): Promise<void> {
  await session.query(
    `insert into tidemark.retention_pass (source, stream, rule, page, ended_at) values ($1, $2, $3, $4, case when $5 then clock_timestamp() end)
     on conflict (source, stream) do update set rule = excluded.rule, page = excluded.page, ended_at = excluded.ended_at`,
    [source, stream, ruleOf(retention), page, ended],
  );
}

/** As it stands in the plan that is kept. */
function ruleOf({ column, keep }: Retention): string {
  return JSON.stringify({ column, keep });
}
