/** Whether every value of a stream has a faithful place in its target, and what is to be done where the source's types have changed. */
import type { Session } from '../destinations/postgres/destination.ts';
import { formatTableName, type TableName } from '../destinations/postgres/identifiers.ts';
import { REWRITE_BYTES_MAX, rewrites, tableBytes, widenColumn } from '../destinations/postgres/retype.ts';
import type { TableFacts, TypedColumn } from '../destinations/postgres/target.ts';
import { fitsLosslessly } from '../destinations/postgres/type-fit.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { TargetChange } from './target-change.ts';

/** What has happened to the source's table since the target was made to fit it; columns by their target names. */
export interface Outlook {
  /** The target is about to be built anew, so it may be missing. */
  readonly rebuild: boolean;
  /** The next generation may have other types than the target. */
  readonly full: boolean;
  /** The source's type has become wider. */
  readonly widened: readonly string[];
  /** The source's type has changed otherwise: only a new generation can follow. */
  readonly narrowed: readonly string[];
  /** The key is another one: it is built with the new generation. */
  readonly rekeyed: boolean;
  /** Columns that rows were loaded into. */
  readonly loaded: readonly string[];
  /** Columns whose column at the source is gone. */
  readonly retired: readonly string[];
}

export const FIRST_LOOK: Outlook = { rebuild: false, full: false, widened: [], narrowed: [], rekeyed: false, loaded: [], retired: [] };

export interface Fit {
  readonly changes: readonly TargetChange[];
  /** Types that the next generation has and the target has not. */
  readonly retype: readonly TypedColumn[];
  /** A change would rewrite so much under a lock that the next generation is built instead. */
  readonly tooLarge: boolean;
}

/** Throws `target.type_mismatch` where the target can't hold what the source has always had, `target.column_conflict` where a column is gone from it. */
export async function fitTarget(session: Session, target: TableName, columns: readonly TypedColumn[], facts: TableFacts, outlook: Outlook): Promise<Fit> {
  if (!outlook.full) requireColumns(target, columns, facts, outlook);
  const changes: TargetChange[] = [];
  const retype: TypedColumn[] = [];
  let bytes: number | null = null;
  let tooLarge = false;
  for (const column of columns) {
    const known = facts.columns.find((candidate) => candidate.name === column.name);
    if (known === undefined || known.type === column.type) continue;
    const fits = fitsLosslessly(column.type, known.type);
    if (outlook.narrowed.includes(column.name)) retype.push(column);
    if (fits || outlook.narrowed.includes(column.name)) continue;
    const widens = outlook.widened.includes(column.name) && fitsLosslessly(known.type, column.type);
    if (outlook.full) retype.push(column);
    else if (!widens) throw mismatch(target, column, known.type);
    else {
      const rewritten = rewrites(known.type, column.type);
      bytes ??= rewritten ? await tableBytes(session, target) : null;
      const beside = rewritten && (bytes ?? 0) > REWRITE_BYTES_MAX;
      if (beside) retype.push(column);
      tooLarge ||= beside;
      changes.push(widening(target, column, known.type, rewritten, beside));
    }
  }
  return { changes, retype, tooLarge };
}

function widening(target: TableName, column: TypedColumn, was: string, rewritten: boolean, beside: boolean): TargetChange {
  const how = beside ? ': the next run builds a new generation beside the target' : rewritten ? ': rewrites the table, its values stay' : '';
  return {
    action: 'alter_column',
    object: `${formatTableName(target)}.${column.name}`,
    destructive: rewritten,
    detail: `${was} → ${column.type}${how}`,
    make: (session) => (beside ? Promise.resolve() : widenColumn(session, target, column)),
  };
}

function mismatch(target: TableName, column: TypedColumn, was: string): TidemarkError {
  return new TidemarkError('target.type_mismatch', `Column ${column.name} of ${formatTableName(target)} is ${was}; the source's ${column.type} does not fit it without loss.`, {
    hint: `Change the target's column to ${column.type}, build the next generation with tidemark sync --full, or name another target.`,
  });
}

/** A column that rows were loaded into can only have been dropped by hand; adding it again would leave those rows NULL in silence. */
function requireColumns(target: TableName, columns: readonly TypedColumn[], facts: TableFacts, { loaded }: Outlook): void {
  const lost = columns.find((column) => loaded.includes(column.name) && !facts.columns.some((known) => known.name === column.name));
  if (lost === undefined) return;
  throw new TidemarkError('target.column_conflict', `Column ${lost.name} of ${formatTableName(target)} is gone from the target, but rows were loaded into it.`, {
    hint: 'Put it back with its values, or build the target anew with tidemark sync --full.',
  });
}
