/** What masks of rows need to know, in whichever of COPY's formats the rows come. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { MaskKeys } from './mask-key.ts';
import type { MaskPlan } from './masked-columns.ts';
import { valueMask, type ValueMask } from './value-masks.ts';

/** A row is masked as a whole, so one of this size is the most that waits in memory. */
const ROW_BYTES_MAX = 128 << 20;
/** Masks whose texts have nothing that a field escapes: letters, digits, dot, minus, underscore. */
const PLAIN: ReadonlySet<string> = new Set(['hmac', 'encrypt']);

export interface RowsToMask {
  readonly source: string;
  readonly stream: string;
  readonly masks: MaskPlan;
  /** Columns of each row. */
  readonly columns: number;
  readonly marksRejects: boolean;
}

export interface ColumnMask {
  /** Place among the columns of a row. */
  readonly index: number;
  readonly mask: ValueMask;
  /** What it makes is ASCII without anything that COPY text escapes. */
  readonly plain: boolean;
}

/** In the order of the columns. Throws `config.key_missing`. */
export function columnMasks({ source, stream, masks }: RowsToMask, keys: MaskKeys): readonly ColumnMask[] {
  return masks.columns.map((column) => ({ index: column.index, mask: valueMask(column, { source, stream, column: column.targetName }, keys), plain: PLAIN.has(column.mask.kind) }));
}

export function requireRowFits(bytes: number, stream: string): void {
  if (bytes <= ROW_BYTES_MAX) return;
  throw new TidemarkError('batch.row_too_large', `A row of ${stream} is larger than 128 MB, which is too large to be masked.`, { hint: 'Exclude its largest column from the stream.' });
}

export function maskFailure(error: unknown): TidemarkError {
  return error instanceof TidemarkError ? error : new TidemarkError('internal.unexpected', 'Masking a row failed.', { cause: error });
}
