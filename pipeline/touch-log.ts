import type { TouchLog } from '../destinations/postgres/touch.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Column } from '../schemas/table.ts';
import { nearestName } from './nearest-name.ts';

interface Choice {
  readonly stream: string;
  /** As written in `touch_log`: names of the source or of the target. */
  readonly names: readonly string[];
  readonly columns: readonly Column[];
  /** Target columns that transforms add. */
  readonly added: readonly string[];
  readonly foldsToUpper: boolean;
}

/** Target names of the columns whose old values are logged, each once. Throws `source.column_missing` for one that the target does not have. */
export function planTouchLog(choice: Choice): string[] {
  return [...new Set(choice.names.map((name) => targetName(choice, name)))];
}

function targetName({ stream, columns, added, foldsToUpper }: Choice, name: string): string {
  const found =
    columns.find((column) => column.name === name)?.targetName ??
    columns.find((column) => column.targetName === name)?.targetName ??
    added.find((each) => each === name) ??
    (foldsToUpper ? columns.find((column) => column.name === name.toUpperCase())?.targetName : undefined);
  if (found !== undefined) return found;
  const near = nearestName(name, [...columns.map((column) => column.name), ...added]);
  throw new TidemarkError('source.column_missing', `touch_log names the column ${name}, which the target of ${stream} does not have.`, { hint: near === null ? 'Name columns that the stream loads.' : `The nearest column is ${near}.` });
}

/** What a batch of the stream logs; null where it logs nothing. */
export function touchLogOf(plan: { readonly source: string; readonly stream: string; readonly touchLog?: readonly string[] }): TouchLog | null {
  const columns = plan.touchLog ?? [];
  return columns.length === 0 ? null : { source: plan.source, stream: plan.stream, columns };
}
