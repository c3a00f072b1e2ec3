import type { Session } from './session.ts';
import { quoteIdent, quoteTable, type TableName } from './identifiers.ts';
import { loadedColumns, REJECT_COLUMN, SUPERSEDED_COLUMN, VALUES_COLUMN, type Stage } from './stage.ts';
import { BATCH_COLUMN } from './target.ts';

/** What a merge does with a key that the target has. */
export type OnKnownKey = 'update' | 'keep';

export interface Merge {
  readonly stage: Stage;
  readonly into: TableName;
  /** Target names of the key; empty: every row is inserted. */
  readonly key: readonly string[];
  readonly onKnownKey: OnKnownKey;
  readonly batch: number;
  /** SQL over the stage (as `s`): the batch that read a row, where that is not `batch`. */
  readonly rowBatch?: string;
  /** Rows of the stage may be marked rejected or superseded. */
  readonly marked: boolean;
  /** Batches of this stream with a higher id have been loaded, so a target row may be newer than the staged one. */
  readonly mayBeOlder: boolean;
  /** Rows of an earlier snapshot are still on their way: target rows that this batch found unchanged are marked as its own, so that those do not replace them. */
  readonly confirms?: boolean;
}

/**
 * Writes the stage's good rows that differ from the target. Returns how many were written, and how many were left
 * because the target's row comes from a later batch.
 *
 * Rows are compared by their binary image (`*<>`): it tells `1.0` from `1.00`, works for types without equality
 * (json, xml, point) and needs no per-type rule. Two images of one value cost a write, never a loss.
 */
export async function mergeStage(session: Session, merge: Merge): Promise<{ written: number; older: number }> {
  const older = merge.mayBeOlder && merge.key.length > 0 ? await countOlder(session, merge) : 0;
  const loaded = loadedColumns(merge.stage);
  const columns = loaded.map((column) => quoteIdent(column.name));
  const values = loaded.map((column) => column.sql);
  const result = await session.query(
    `insert into ${quoteTable(merge.into)} as t (${[...columns, BATCH_COLUMN].join(', ')})
     select ${[...values, merge.rowBatch ?? `${merge.batch}::bigint`].join(', ')} from ${quoteTable(merge.stage.table)} s ${where(merge)}
     ${conflict(merge, columns)}`,
  );
  if (merge.confirms === true && merge.key.length > 0 && merge.onKnownKey === 'update') await confirmUnchanged(session, merge);
  return { written: result.rowCount ?? 0, older };
}

/** After the merge: what is still of an earlier batch did not differ. */
async function confirmUnchanged(session: Session, merge: Merge): Promise<void> {
  await session.query(
    `update ${quoteTable(merge.into)} t set ${BATCH_COLUMN} = ${merge.batch}::bigint from ${quoteTable(merge.stage.table)} s
     ${where(merge) === '' ? 'where' : `${where(merge)} and`} ${sameKey(merge)} and coalesce(t.${BATCH_COLUMN}, 0) < ${merge.batch}::bigint`,
  );
}

/** Masks that the rows of batch $1 of source $2, stream $3 passed through. */
const MASKS_OF_BATCH = `coalesce((select g.masks from tidemark.batch b join tidemark.generation g on g.source = b.source and g.stream = b.stream
       and (g.generation = b.generation or g.state = 'current') where b.batch = $1 and b.source = $2 and b.stream = $3 order by g.generation = b.generation desc limit 1), '')`;

/** Moves rejected rows to the quarantine. One that waits there unchanged since an earlier read is not stored a second time, but is as new as the last read. */
export async function quarantineStage(session: Session, merge: Merge, source: string, stream: string): Promise<void> {
  await session.query(
    `insert into tidemark.quarantine as q (batch, source, stream, reasons, "row", masks)
     select $1, $2, $3, ${REJECT_COLUMN}::jsonb, coalesce(${VALUES_COLUMN}::jsonb, '{}'), ${MASKS_OF_BATCH}
     from (select distinct ${REJECT_COLUMN}, ${VALUES_COLUMN} from ${quoteTable(merge.stage.table)} where ${REJECT_COLUMN} is not null) s
     on conflict (source, stream, md5(reasons::text || "row"::text)) where replayed_at is null do update set batch = greatest(q.batch, excluded.batch), masks = excluded.masks`,
    [merge.batch, source, stream],
  );
}

function where(merge: Merge): string {
  return merge.marked ? `where s.${REJECT_COLUMN} is null and s.${SUPERSEDED_COLUMN} is not true` : '';
}

function conflict(merge: Merge, columns: readonly string[]): string {
  if (merge.key.length === 0) return '';
  const key = merge.key.map(quoteIdent);
  const rest = columns.filter((column) => !key.includes(column));
  if (merge.onKnownKey === 'keep' || rest.length === 0) return `on conflict (${key.join(', ')}) do nothing`;
  const sets = [...rest, BATCH_COLUMN].map((column) => `${column} = excluded.${column}`);
  const differs = `(row(${rest.map((c) => `t.${c}`).join(', ')})::record *<> row(${rest.map((c) => `excluded.${c}`).join(', ')})::record)`;
  const newer = merge.mayBeOlder ? ` and coalesce(t.${BATCH_COLUMN}, 0) < excluded.${BATCH_COLUMN}` : '';
  return `on conflict (${key.join(', ')}) do update set ${sets.join(', ')} where ${differs}${newer}`;
}

async function countOlder(session: Session, merge: Merge): Promise<number> {
  const { rows } = await session.query<{ n: string }>(
    `select count(*) as n from ${quoteTable(merge.stage.table)} s join ${quoteTable(merge.into)} t on ${sameKey(merge)}
     ${where(merge) === '' ? 'where' : `${where(merge)} and`} t.${BATCH_COLUMN} > ${merge.batch}::bigint`,
  );
  return Number(rows[0]!.n);
}

function sameKey(merge: Merge): string {
  return merge.key.map((name) => `t.${quoteIdent(name)} = ${merge.stage.lenient ? `cast(s.${quoteIdent(name)} as ${typeOf(merge, name)})` : `s.${quoteIdent(name)}`}`).join(' and ');
}

function typeOf(merge: Merge, name: string): string {
  return merge.stage.columns.find((column) => column.name === name)!.type;
}
