/** What a planned stream's deletes mean for its target and its stage. */
import { meansDeleted, tombstoneText, type StageDeletes } from '../../destinations/postgres/deletes.ts';
import { DELETED_COLUMN } from '../../destinations/postgres/digest.ts';
import { formatTableName, quoteIdent } from '../../destinations/postgres/identifiers.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import { addColumns, type TableFacts } from '../../destinations/postgres/target.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { StreamPlan } from '../stream-plan.ts';

/** How a load of the stream treats deletes; undefined where it has nothing to do about them. */
export function stageDeletesOf(plan: StreamPlan): StageDeletes | undefined {
  const marks = plan.marksDeletes === true;
  if (!marks && (plan.deletes?.tombstone ?? null) === null) return undefined;
  return { tombstone: plan.deletes?.tombstone ?? null, apply: plan.deletes?.apply ?? 'hard', marks };
}

/** As `TargetChange`. */
interface MarkColumn {
  readonly action: 'add_column';
  readonly object: string;
  readonly destructive: false;
  readonly detail: string;
  readonly make: (session: Session) => Promise<void>;
}

export interface ReviewedDeletes {
  /** The target has, or will have, the column of deletion times. */
  readonly marks: boolean;
  readonly changes: readonly MarkColumn[];
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
  const change: MarkColumn = {
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
  return `coalesce(${meansDeleted(type, tombstone.is, `t.${quoteIdent(tombstone.column)}`)}, false)`;
}
