/** How long a stream keeps its rows: decided once, from its settings and the shape of its table. */
import type { TableName } from '../destinations/postgres/identifiers.ts';
import type { Retention, RetentionScope } from '../destinations/postgres/retention.ts';
import type { TypedColumn } from '../destinations/postgres/target.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { StreamSettings } from '../schemas/settings.ts';
import type { Column } from '../schemas/table.ts';
import type { MaskPlan } from './masks/masked-columns.ts';

export interface PlannedRetention {
  /** Target name of the column. */
  readonly column: string;
  readonly keep: string;
}

export interface RetentionChoice {
  readonly stream: StreamSettings;
  /** Finds a column by its name in the file; throws `source.column_missing`. */
  readonly find: (name: string) => Column;
  /** Columns that are read, as the target will have them. */
  readonly columns: readonly Column[];
  readonly masks: MaskPlan;
}

/** Throws `config.invalid` where the column has no age that could be told: not read, masked, transformed, or no date. */
export function planRetention({ stream, find, columns, masks }: RetentionChoice): PlannedRetention | null {
  if (stream.retention === null) return null;
  const found = find(stream.retention.column);
  const column = columns.find((each) => each.name === found.name);
  const refuse = (what: string, hint: string) => new TidemarkError('config.invalid', `Stream ${stream.name} keeps rows by the age of column ${found.name}, ${what}.`, { hint });
  if (column === undefined) throw refuse('which it does not read', 'Take it out of columns.exclude, add it to columns.include, and do not drop it.');
  if (masks.columns.some((each) => each.name === column.name && each.mask.kind !== 'date_year')) throw refuse('which it masks', 'Mask it with date_year, or lift the mask of this column with none.');
  if (column.targetName in stream.transforms) throw refuse('which it transforms', 'Give the result another name with transform: { OTHER: ... }.');
  if (!/^(date|timestamp)/.test(column.pgType)) throw refuse(`which is ${column.pgType}`, 'Name a column with a date or a timestamp.');
  return { column: column.targetName, keep: stream.retention.keep };
}

/** What is asked of a stream's plan. */
interface PlanOfRetention {
  readonly source: string;
  readonly stream: string;
  readonly columns: readonly TypedColumn[];
  readonly retention?: PlannedRetention | null;
}

/** The retention with its column's type; null where the stream keeps everything. */
export function retentionOf(plan: PlanOfRetention): Retention | null {
  if ((plan.retention ?? null) === null) return null;
  const { column, keep } = plan.retention!;
  return { column, keep, type: plan.columns.find((each) => each.name === column)!.type };
}

/** Whose rows go, and by which rule; null where the stream keeps everything. `into`: the table they go from. */
export function retentionScope(plan: PlanOfRetention, into: TableName, runId: string | null): RetentionScope | null {
  const retention = retentionOf(plan);
  return retention === null ? null : { source: plan.source, stream: plan.stream, runId, target: into, retention };
}
