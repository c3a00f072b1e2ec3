/** What a stream does about rows that are deleted at its source: decided once, from its settings and the shape of its table. */
import { meansDeleted, tombstoneText, type StageDeletes } from '../../destinations/postgres/deletes.ts';
import { DELETED_COLUMN } from '../../destinations/postgres/digest.ts';
import { formatTableName } from '../../destinations/postgres/identifiers.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import { addColumns, type TableFacts } from '../../destinations/postgres/target.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamSettings } from '../../schemas/settings.ts';
import type { Column } from '../../schemas/table.ts';
import type { MaskPlan } from '../masks/masked-columns.ts';
import type { StreamPlan } from '../stream-plan.ts';
import type { TargetChange } from '../target-changes.ts';

export interface PlannedDeletes {
  readonly detect: 'tombstone' | 'scan';
  readonly apply: 'soft' | 'hard';
  /** Of `tombstone`: target name of the column, and the value that means deleted. */
  readonly tombstone: StageDeletes['tombstone'];
  /** Of `scan`: seconds between two; null: only when asked for. */
  readonly everySeconds: number | null;
}

export interface DeletesScope {
  readonly stream: StreamSettings;
  /** Finds a column by its name in the file; throws `source.column_missing`. */
  readonly find: (name: string) => Column;
  /** Columns that are read. */
  readonly columns: readonly Column[];
  /** Source names. */
  readonly key: readonly string[];
  readonly masks: MaskPlan;
}

/** Throws `config.invalid` or `config.unsupported` where the setting can't be kept as written. */
export function planDeletes({ stream, find, columns, key, masks }: DeletesScope): PlannedDeletes | null {
  const { deletes } = stream;
  if (deletes === null) return null;
  if (stream.mode === 'append') throw refuse('config.unsupported', stream, 'is in mode append, which keeps every row', 'Write deletes: null in the stream, or use mode: upsert.');
  if (deletes.apply === 'soft' && key.length === 0) throw refuse('config.unsupported', stream, 'has no key, by which deleted rows could be kept', 'Name the columns that identify a row with key: [...], or write apply: hard.');
  if (deletes.detect === 'scan') {
    const changed = key.map((name) => columns.find((column) => column.name === name)?.targetName).find((name) => name !== undefined && name in stream.transforms);
    if (changed !== undefined) throw refuse('config.unsupported', stream, `transforms its key column ${changed}, so its keys can't be compared with the source's`, 'Take the transform away, or use detect: tombstone.');
    return { detect: 'scan', apply: deletes.apply, tombstone: null, everySeconds: deletes.everySeconds };
  }
  const column = find(deletes.column);
  const read = columns.find((each) => each.name === column.name);
  if (read === undefined || masks.dropped.includes(column.name)) throw refuse('config.invalid', stream, `does not read the column ${column.name}, which says that a row is deleted`, 'Take it out of columns.exclude, add it to columns.include, and do not drop it.');
  if (masks.columns.some((each) => each.name === column.name)) throw refuse('config.invalid', stream, `masks the column ${column.name}, which says that a row is deleted`, 'Lift the mask of this column with none.');
  if (read.targetName in stream.transforms) throw refuse('config.invalid', stream, `transforms the column ${column.name}, which says that a row is deleted`, 'Give the result another name with transform: { OTHER: ... }.');
  if (key.includes(column.name)) throw refuse('config.invalid', stream, `names the key column ${column.name} as the one that says that a row is deleted`, 'Name a column that changes when the row is deleted.');
  return { detect: 'tombstone', apply: deletes.apply, tombstone: { column: read.targetName, is: deletes.is }, everySeconds: null };
}

function refuse(code: 'config.invalid' | 'config.unsupported', stream: StreamSettings, what: string, hint: string): TidemarkError {
  return new TidemarkError(code, `Stream ${stream.name} has deletes: and ${what}.`, { hint });
}

/** What `plan` says of it. */
export function deletesNotes(deletes: PlannedDeletes | null, rebuild: boolean): string[] {
  if (deletes === null) return [];
  if (deletes.detect === 'scan' && rebuild) return ['every run is a full refresh, which sees deletes by itself: no scan is needed'];
  if (deletes.detect === 'scan' && deletes.everySeconds === null) return ['deletes are looked for by tidemark sync --detect-deletes only'];
  return [];
}

/** How a load of the stream treats deletes; undefined where it has nothing to do about them. */
export function stageDeletesOf(plan: StreamPlan): StageDeletes | undefined {
  const marks = plan.marksDeletes === true;
  if (!marks && (plan.deletes?.tombstone ?? null) === null) return undefined;
  return { tombstone: plan.deletes?.tombstone ?? null, apply: plan.deletes?.apply ?? 'hard', marks };
}

export interface ReviewedDeletes {
  /** The target has, or will have, the column of deletion times. */
  readonly marks: boolean;
  readonly changes: readonly TargetChange[];
}

/** Compares with the target: the column for soft deletes, and whether the tombstone's value is one of its column's type. Throws `config.invalid`, `target.column_conflict`. */
export async function reviewDeletes(session: Session, plan: StreamPlan, facts: TableFacts | null): Promise<ReviewedDeletes> {
  const deletes = plan.deletes ?? null;
  if (deletes?.tombstone) await requireValue(session, plan, deletes.tombstone);
  const known = facts?.columns.find((column) => column.name === DELETED_COLUMN);
  if (known !== undefined && known.type !== 'timestamp with time zone') {
    throw new TidemarkError('target.column_conflict', `Column ${DELETED_COLUMN} of ${formatTableName(plan.target)} is ${known.type}; it must be timestamptz.`, { hint: 'Rename it at the destination.' });
  }
  const marks = known !== undefined || deletes?.apply === 'soft';
  if (known !== undefined || !marks) return { marks, changes: [] };
  const change: TargetChange = {
    action: 'add_column',
    object: `${formatTableName(plan.target)}.${DELETED_COLUMN}`,
    destructive: false,
    detail: 'timestamp with time zone, set in rows that are deleted at the source',
    make: (held) => addColumns(held, plan.target, [{ name: DELETED_COLUMN, type: 'timestamptz' }]),
  };
  return { marks, changes: [change] };
}

async function requireValue(session: Session, plan: StreamPlan, { column, is }: { readonly column: string; readonly is: string }): Promise<void> {
  const type = plan.columns.find((each) => each.name === column)!.type;
  if (!/^(boolean|smallint|integer|bigint|numeric|real|double precision|character|bit)/.test(type)) return;
  const { rows } = await session.query<{ misfit: boolean }>('select tidemark.misfit($1, $2) as misfit', [tombstoneText(type, is), type]);
  if (!rows[0]!.misfit) return;
  throw new TidemarkError('config.invalid', `The value that means deleted in stream ${plan.stream} is none that column ${column} (${type}) can have.`, { hint: 'Write deletes.is as the column has it.' });
}

/** SQL over target rows under the alias `t`: the row itself says that it is deleted; null where no column does. */
export function deletedByItself(plan: StreamPlan): string | null {
  const tombstone = plan.deletes?.tombstone ?? null;
  if (tombstone === null) return null;
  const type = plan.columns.find((each) => each.name === tombstone.column)!.type;
  return `coalesce(${meansDeleted(type, tombstone.is, `t."${tombstone.column.replaceAll('"', '""')}"`)}, false)`;
}
