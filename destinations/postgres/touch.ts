/** The touch log: old values of named columns of the rows that a batch changed, moved or deleted, for whoever refreshes derived tables by key. */
import { quoteIdent, quoteLiteral } from './identifiers.ts';
import type { Session } from './session.ts';

/** What a stream logs, and for whom. Target names; an empty list of columns logs nothing. */
export interface TouchLog {
  readonly source: string;
  readonly stream: string;
  readonly columns: readonly string[];
}

/** Old values as one JSON object of texts, which the columns' types read back exactly. `alias`: of the target's row as it was. */
export function oldValues(columns: readonly string[], alias: string): string {
  return `jsonb_build_object(${columns.map((name) => `${quoteLiteral(name)}, ${alias}.${quoteIdent(name)}::text`).join(', ')})`;
}

/**
 * A common table expression `touched` that logs the old values which the query `rows` gives in a column `old`, each once. It goes into the
 * statement that changes the rows, so that both see the same ones.
 */
export function touchedSql(log: TouchLog, batch: number, rows: string): string {
  return `touched as (insert into tidemark.touch (batch, source, stream, old)
       select ${batch}::bigint, ${quoteLiteral(log.source)}, ${quoteLiteral(log.stream)}, o.old from (${rows}) o group by o.old)`;
}

/**
 * A delete under the log, as one statement: `delete from bank.account t where …`, `alias` being that of the table in it. Its row count is that of
 * the deleted rows. Without columns the delete comes back as it is.
 */
export function touchedDelete(log: TouchLog | null, batch: number, deletion: string, alias = 't'): string {
  if (log === null || log.columns.length === 0) return deletion;
  return `with gone as (${deletion} returning ${oldValues(log.columns, alias)} as old), ${touchedSql(log, batch, 'select old from gone')} select from gone`;
}

/** What stands in the log was masked otherwise, or not at all. A follower that has not read it takes every row as touched. */
export async function forgetTouches(session: Session, source: string, stream: string): Promise<void> {
  await session.query(
    'with gone as (delete from tidemark.touch where source = $1 and stream = $2 returning batch) insert into tidemark.touch (batch, source, stream) select distinct batch, $1, $2 from gone',
    [source, stream],
  );
}

/** Ages of the log: rows of batches that every follower has consumed go after `KEEP`, all others after `KEEP_UNREAD`. */
const KEEP = '7 days';
const KEEP_UNREAD = '30 days';

export interface PrunedTouches {
  readonly batches: number;
  /** Up to this batch nothing is left to prune, so the next call begins after it. */
  readonly after: number;
}

/**
 * Removes old values past their time, of at most `batchesMax` batches after `after`. Where they stood is a mark that any row may have changed, for
 * a follower that has not read them yet, or begins later: nothing is lost without a word.
 */
export async function pruneTouches(session: Session, after: number, batchesMax: number): Promise<PrunedTouches> {
  const { rows } = await session.query<{ batch: number; due: boolean }>(
    `with logged as (select distinct t.batch from tidemark.touch t where t.batch > $3 and t.old is not null order by t.batch limit $4),
     aged as (
       select l.batch, l.source, l.stream, l.committed_at < clock_timestamp() - $2::interval or (l.committed_at < clock_timestamp() - $1::interval and not exists (
         select from tidemark.follower f where l.xid >= f.low and not exists (select from tidemark.follower_batch c where c.follower = f.name and c.batch = l.batch))) as due
       from logged join tidemark.ledger l using (batch)),
     gone as (delete from tidemark.touch t using aged a where a.due and t.batch = a.batch and t.old is not null),
     marked as (insert into tidemark.touch (batch, source, stream) select batch, source, stream from aged a where due and not exists (select from tidemark.touch t where t.batch = a.batch and t.old is null))
     select batch::float8, due from aged order by batch`,
    [KEEP, KEEP_UNREAD, after, batchesMax],
  );
  const kept = rows.findIndex(({ due }) => !due);
  const done = kept < 0 ? rows : rows.slice(0, kept);
  return { batches: rows.filter(({ due }) => due).length, after: done.at(-1)?.batch ?? after };
}
