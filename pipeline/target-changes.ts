import type { Session } from '../destinations/postgres/destination.ts';
import { formatTableName, type TableName } from '../destinations/postgres/identifiers.ts';
import { addColumns, addUniqueKey, BATCH_COLUMN, canonicalTypes, createTarget, inspectTable, type TableFacts, type TypedColumn } from '../destinations/postgres/target.ts';
import { reviewChecks } from '../destinations/postgres/rule-review.ts';
import type { PlannedTransform } from '../destinations/postgres/rules.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { reviewDeletes } from './deletes/target-deletes.ts';
import { hasChecks, targetColumnsOf, type StreamPlan } from './stream-plan.ts';
import type { TargetChange } from './target-change.ts';
import { FIRST_LOOK, fitTarget, type Outlook } from './target-fit.ts';

export type { TargetChange } from './target-change.ts';

export interface TargetReview {
  /** The plan with types as the destination prints them, and binary rows only where the target has the very same types. */
  readonly plan: StreamPlan;
  readonly changes: readonly TargetChange[];
  /** A wider type would rewrite so much that the target follows by its next generation. */
  readonly tooLarge: boolean;
}

/**
 * Compares a stream's plan with its target and says what is to be changed. Changes nothing.
 * Throws `target.table_missing` where rows were loaded into a table that is gone (unless it is about to be built anew), `target.type_mismatch`, `target.column_conflict`, `target.not_ours`: each names the column, and no row has been read.
 */
export async function reviewTarget(session: Session, plan: StreamPlan, outlook: Outlook = FIRST_LOOK): Promise<TargetReview> {
  const types = await canonicalTypes(session, plan.columns.map((column) => column.type));
  const columns = plan.columns.map((column, i) => ({ name: column.name, type: types[i]! }));
  const transforms = await reviewTransforms(session, plan, columns);
  const facts = await inspectTable(session, plan.target);
  const deletes = await reviewDeletes(session, { ...plan, columns }, facts);
  const reviewed = { ...plan, columns, transforms, marksDeletes: deletes.marks };
  const loaded = targetColumnsOf(reviewed);
  if (facts === null && !outlook.rebuild) await requireUnread(session, plan);
  if (facts === null) return { plan: reviewed, changes: [createChange(plan.target, loaded, plan.key), ...deletes.changes], tooLarge: false };
  requireTable(plan.target, facts);
  const fit = await fitTarget(session, plan.target, loaded, facts, outlook);
  requireFillable(plan.target, loaded, facts);
  const changes = [...columnChanges(plan.target, loaded, facts), ...fit.changes, ...deletes.changes, ...(outlook.rekeyed || outlook.full ? [] : keyChanges(plan, facts))];
  const sameTypes = columns.every((column) => facts.columns.find((known) => known.name === column.name)?.type === column.type || !facts.columns.some((known) => known.name === column.name));
  const retired = facts.columns.filter((column) => outlook.retired.includes(column.name) && !column.generated && !loaded.some((each) => each.name === column.name)).map(({ name, type }) => ({ name, type }));
  return { plan: { ...reviewed, format: sameTypes ? plan.format : 'copy-text', retired, retype: fit.retype }, changes, tooLarge: fit.tooLarge };
}

/** Types of new columns, and whether the SQL of transforms and rules stands. */
async function reviewTransforms(session: Session, plan: StreamPlan, columns: readonly TypedColumn[]): Promise<readonly PlannedTransform[]> {
  if (!hasChecks(plan)) return [];
  return reviewChecks(session, { columns, transforms: plan.transforms ?? [] }, plan.rules ?? [], plan.key);
}

/** An empty table under a watermark would look complete and not be. */
async function requireUnread(session: Session, plan: StreamPlan): Promise<void> {
  const { rows } = await session.query<{ read: boolean }>('select exists (select from tidemark.watermark where source = $1 and stream = $2 and position is not null) as read', [plan.source, plan.stream]);
  if (!rows[0]!.read) return;
  throw new TidemarkError('target.table_missing', `The target ${formatTableName(plan.target)} of ${plan.stream} is gone.`, { hint: `Put it back and run tidemark retry ${plan.source}, or build it anew: tidemark sync ${plan.source} --stream ${plan.stream} --full.` });
}

function createChange(target: TableName, columns: readonly TypedColumn[], key: readonly string[]): TargetChange {
  return {
    action: 'create_table',
    object: formatTableName(target),
    destructive: false,
    detail: `${columns.length} columns, ${key.length === 0 ? 'no key' : `key (${key.join(', ')})`}`,
    make: (session) => createTarget(session, target, columns, key),
  };
}

function requireTable(target: TableName, facts: TableFacts): void {
  const name = formatTableName(target);
  if (facts.relkind !== 'r') throw new TidemarkError('target.not_ours', `The target ${name} is not a plain table.`, { hint: 'Name another target, or drop it.' });
  if (facts.hasRows && !facts.columns.some((column) => column.name === BATCH_COLUMN)) {
    throw new TidemarkError('target.not_ours', `The target ${name} holds rows that Tidemark did not write.`, { hint: 'Name another target, or empty the table first.' });
  }
}

/** A column of the target that no row will fill must accept NULL or have a default. */
function requireFillable(target: TableName, columns: readonly TypedColumn[], facts: TableFacts): void {
  const filled = new Set([...columns.map((column) => column.name), BATCH_COLUMN]);
  const stuck = facts.columns.find((column) => !filled.has(column.name) && column.notNull && !column.hasDefault && !column.generated);
  if (stuck !== undefined) {
    throw new TidemarkError('target.column_conflict', `Column ${stuck.name} of ${formatTableName(target)} must not be NULL, but the source has no such column.`, { hint: 'Give it a default, or drop NOT NULL.' });
  }
  const generated = facts.columns.find((column) => column.generated && filled.has(column.name));
  if (generated !== undefined) {
    throw new TidemarkError('target.column_conflict', `Column ${generated.name} of ${formatTableName(target)} is generated at the destination and can't take the source's values.`, { hint: 'Make it a plain column, or exclude it from the stream.' });
  }
}

function columnChanges(target: TableName, columns: readonly TypedColumn[], facts: TableFacts): TargetChange[] {
  const wanted = [...columns, { name: BATCH_COLUMN, type: 'bigint' }];
  return wanted
    .filter((column) => !facts.columns.some((known) => known.name === column.name))
    .map((column) => ({
      action: 'add_column' as const,
      object: `${formatTableName(target)}.${column.name}`,
      destructive: false,
      detail: column.type,
      make: (session: Session) => addColumns(session, target, [column]),
    }));
}

function keyChanges(plan: StreamPlan, facts: TableFacts): TargetChange[] {
  if (plan.key.length === 0) return [];
  const same = (names: readonly string[]) => names.length === plan.key.length && names.every((name) => plan.key.includes(name));
  if (facts.uniqueKeys.some(same)) return [];
  return [
    {
      action: 'add_key',
      object: formatTableName(plan.target),
      destructive: false,
      detail: `unique (${plan.key.join(', ')})`,
      make: (session) => addUniqueKey(session, plan.target, plan.key),
    },
  ];
}
