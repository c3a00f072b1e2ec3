import type { Session } from './session.ts';
import { deleteTombstoned, findTombstoned, tombstoneOf, type Gone, type StageDeletes } from './deletes.ts';
import { DELETED_COLUMN } from './digest.ts';
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import { loadedColumns, REJECT_COLUMN, SUPERSEDED_COLUMN, VALUES_COLUMN, type Stage } from './stage.ts';
import { BATCH_COLUMN } from './target.ts';
import { oldValues, touchedSql, type TouchLog } from './touch.ts';

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
  /** A column that has equality and most often changes with its row, the cursor: it is compared first, which spares the image of a row that changed. */
  readonly telling?: string | null;
  /** Rows that change leave their old values in the touch log. */
  readonly touchLog?: TouchLog | null;
  /** Rows of the stage may say that they are deleted, or rows of the target be marked as deleted. */
  readonly deletes?: StageDeletes;
}

export interface Merged {
  readonly written: number;
  /** Rows that were left because the target's row comes from a later batch. */
  readonly older: number;
  /** Live rows of the target that tombstones have deleted. */
  readonly deleted: number;
}

/**
 * Writes the stage's good rows that differ from the target, and deletes what tombstones name. `gone`: what {@link findTombstoned} said, where it was asked before.
 *
 * Rows are compared by their binary image (`*<>`): it tells `1.0` from `1.00`, works for types without equality
 * (json, xml, point) and needs no per-type rule. Two images of one value cost a write, never a loss.
 */
export async function mergeStage(session: Session, merge: Merge, gone?: Gone): Promise<Merged> {
  const tombstoned = gone ?? (await findTombstoned(session, merge));
  const older = merge.mayBeOlder && merge.key.length > 0 ? await countOlder(session, merge) : 0;
  const loaded = loadedColumns(merge.stage);
  const columns = loaded.map((column) => quoteIdent(column.name));
  const values = loaded.map((column) => column.sql);
  const mark = markOf(merge);
  const result = await session.query(
    `${touching(merge, columns)}insert into ${quoteTable(merge.into)} as t (${[...columns, ...(mark === null ? [] : [DELETED_COLUMN]), BATCH_COLUMN].join(', ')})
     select ${[...values, ...(mark === null ? [] : [mark]), merge.rowBatch ?? `${merge.batch}::bigint`].join(', ')} from ${quoteTable(merge.stage.table)} s ${where(merge, kept(merge))}
     ${conflict(merge, columns)}`,
  );
  if (merge.confirms === true && merge.key.length > 0 && merge.onKnownKey === 'update') await confirmUnchanged(session, merge);
  const written = result.rowCount ?? 0;
  if (merge.deletes?.apply === 'soft') return { written: written - tombstoned.rows, older, deleted: tombstoned.rows };
  return { written, older, deleted: tombstoned.rows === 0 ? 0 : await deleteTombstoned(session, merge) };
}

/** What goes into the column of deletion times; null where the target has none. */
function markOf(merge: Merge): string | null {
  if (merge.deletes?.marks !== true) return null;
  const tombstone = merge.deletes.apply === 'soft' ? tombstoneOf(merge.stage, merge.deletes) : null;
  return tombstone === null ? 'null::timestamptz' : `case when ${tombstone} then now() end`;
}

/** Rows that are written: hard tombstones are not. Null: all. */
function kept(merge: Merge): string | null {
  const tombstone = merge.deletes?.apply === 'hard' ? tombstoneOf(merge.stage, merge.deletes) : null;
  return tombstone === null ? null : `not (${tombstone})`;
}

/** Logs what the merge is about to change, in its own snapshot: loads of one stream take turns at its watermark, so nothing comes between. */
function touching(merge: Merge, columns: readonly string[]): string {
  const log = merge.touchLog ?? null;
  const key = merge.key.map(quoteIdent);
  if (log === null || log.columns.length === 0 || key.length === 0 || merge.onKnownKey === 'keep') return '';
  const rest = loadedColumns(merge.stage).filter((_, at) => !key.includes(columns[at]!));
  const mark = markOf(merge);
  if (rest.length === 0 && mark === null) return '';
  const differs = differing(rest.map((column) => [`t.${quoteIdent(column.name)}`, column.sql]), mark, merge.telling ?? null);
  const newer = merge.mayBeOlder ? ` and coalesce(t.${BATCH_COLUMN}, 0) < ${merge.rowBatch ?? `${merge.batch}::bigint`}` : '';
  const rows = `select ${oldValues(log.columns, 't')} as old from ${quoteTable(merge.stage.table)} s join ${quoteTable(merge.into)} t on ${sameKey(merge)}
         ${where(merge, kept(merge), `${differs}${newer}`)}`;
  return `with ${touchedSql(log, merge.batch, `${rows}${arriving(merge, log)}`)} `;
}

/** Rows that keep the id of the batch that read them can't be found by this one's: their new values are logged as well. */
function arriving(merge: Merge, log: TouchLog): string {
  if (merge.rowBatch === undefined) return '';
  const values = loadedColumns(merge.stage).filter(({ name }) => log.columns.includes(name)).map(({ name, sql }) => `${quoteLiteral(name)}, (${sql})::text`);
  return ` union all select jsonb_build_object(${values.join(', ')}) from ${quoteTable(merge.stage.table)} s ${where(merge, kept(merge))}`;
}

/** After the merge: what is still of an earlier batch did not differ. */
async function confirmUnchanged(session: Session, merge: Merge): Promise<void> {
  await session.query(
    `update ${quoteTable(merge.into)} t set ${BATCH_COLUMN} = ${merge.batch}::bigint from ${quoteTable(merge.stage.table)} s
     ${where(merge, sameKey(merge), `coalesce(t.${BATCH_COLUMN}, 0) < ${merge.batch}::bigint`)}`,
  );
}

/** Masks that the rows of batch $1 of source $2, stream $3 passed through. */
const MASKS_OF_BATCH = `coalesce((select g.masks from tidemark.batch b join tidemark.generation g on g.source = b.source and g.stream = b.stream
       and (g.generation = b.generation or g.state = 'current') where b.batch = $1 and b.source = $2 and b.stream = $3 order by g.generation = b.generation desc limit 1), '')`;

/** Moves rejected rows to the quarantine. One that waits there unchanged since an earlier read is not stored a second time, but is as new as the last read. Tells of those that are new by `BatchRejected`. */
export async function quarantineStage(session: Session, merge: Merge, source: string, stream: string): Promise<void> {
  await session.query(
    `with waiting as (
       insert into tidemark.quarantine as q (batch, source, stream, reasons, "row", masks)
       select $1, $2, $3, ${REJECT_COLUMN}::jsonb, coalesce(${VALUES_COLUMN}::jsonb, '{}'), ${MASKS_OF_BATCH}
       from (select distinct ${REJECT_COLUMN}, ${VALUES_COLUMN} from ${quoteTable(merge.stage.table)} where ${REJECT_COLUMN} is not null) s
       on conflict (source, stream, md5(reasons::text || "row"::text)) where replayed_at is null do update set batch = greatest(q.batch, excluded.batch), masks = excluded.masks
       returning q.reasons, q.xmax = 0 as fresh),
     broken as (select r->>'code' as code, r->>'column' as "column", r->>'rule' as rule, count(*) as rows from waiting, jsonb_array_elements(reasons) r where fresh group by 1, 2, 3)
     insert into tidemark.event (type, source, stream, data)
     select 'BatchRejected', $2, $3, jsonb_build_object('batch', $1::bigint, 'rejected', (select count(*) from waiting where fresh), 'reasons', jsonb_agg(broken order by rows desc))
     from broken having count(*) > 0`,
    [merge.batch, source, stream],
  );
}

/** Of the stage's good rows. */
function where(merge: Merge, ...more: readonly (string | null)[]): string {
  const good = merge.marked ? `s.${REJECT_COLUMN} is null and s.${SUPERSEDED_COLUMN} is not true` : null;
  const conditions = [good, ...more].filter((each) => each !== null);
  return conditions.length === 0 ? '' : `where ${conditions.join(' and ')}`;
}

/** The target's values are not the new ones, or the row is marked as deleted on one side only. */
function differing(pairs: readonly (readonly [target: string, value: string])[], mark: string | null, telling: string | null): string {
  const told = pairs.filter(([target]) => telling !== null && target === `t.${quoteIdent(telling)}`).map(([target, value]) => `${target} is distinct from ${value}`);
  const images = pairs.length === 0 ? [] : [`row(${pairs.map(([target]) => target).join(', ')})::record *<> row(${pairs.map(([, value]) => value).join(', ')})::record`];
  return `(${[...told, ...images, ...(mark === null ? [] : [`(t.${DELETED_COLUMN} is null) <> (${mark} is null)`])].join(' or ')})`;
}

function conflict(merge: Merge, columns: readonly string[]): string {
  if (merge.key.length === 0) return '';
  const key = merge.key.map(quoteIdent);
  const rest = columns.filter((column) => !key.includes(column));
  const marks = merge.deletes?.marks === true;
  if (merge.onKnownKey === 'keep' || (rest.length === 0 && !marks)) return `on conflict (${key.join(', ')}) do nothing`;
  const sets = [...rest, BATCH_COLUMN].map((column) => `${column} = excluded.${column}`);
  if (marks) sets.push(`${DELETED_COLUMN} = case when excluded.${DELETED_COLUMN} is not null then coalesce(t.${DELETED_COLUMN}, excluded.${DELETED_COLUMN}) end`);
  const differs = differing(rest.map((column) => [`t.${column}`, `excluded.${column}`]), marks ? `excluded.${DELETED_COLUMN}` : null, merge.telling ?? null);
  const newer = merge.mayBeOlder ? ` and coalesce(t.${BATCH_COLUMN}, 0) < excluded.${BATCH_COLUMN}` : '';
  return `on conflict (${key.join(', ')}) do update set ${sets.join(', ')} where ${differs}${newer}`;
}

async function countOlder(session: Session, merge: Merge): Promise<number> {
  const { rows } = await session.query<{ n: string }>(
    `select count(*) as n from ${quoteTable(merge.stage.table)} s join ${quoteTable(merge.into)} t on ${sameKey(merge)}
     ${where(merge, `t.${BATCH_COLUMN} > ${merge.batch}::bigint`)}`,
  );
  return Number(rows[0]!.n);
}

function sameKey(merge: Merge): string {
  return merge.key.map((name) => `t.${quoteIdent(name)} = ${merge.stage.lenient ? `cast(s.${quoteIdent(name)} as ${typeOf(merge, name)})` : `s.${quoteIdent(name)}`}`).join(' and ');
}

function typeOf(merge: Merge, name: string): string {
  return merge.stage.columns.find((column) => column.name === name)!.type;
}
