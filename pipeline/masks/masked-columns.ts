/** Which columns of a stream are masked and what their target columns become; decided once, from the settings and the table's shape. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Mask, StreamSettings } from '../../schemas/settings.ts';
import type { Column } from '../../schemas/table.ts';

/** A mask that leaves a value; `drop` leaves no column. */
export type ValueMaskSetting = Exclude<Mask, { kind: 'redact' | 'drop' | 'date_year' }> | { readonly kind: 'redact' | 'date_year' };

export interface MaskedColumn {
  /** Place among the columns that are read. */
  readonly index: number;
  /** The source's name. */
  readonly name: string;
  readonly targetName: string;
  readonly mask: ValueMaskSetting;
  /** What the column is before the mask, as `format_type` prints it. */
  readonly type: string;
}

/** The masks of a stream; no secret, so that it may be stored with the plan. */
export interface MaskPlan {
  readonly columns: readonly MaskedColumn[];
  /** Source names of columns that are not read at all. */
  readonly dropped: readonly string[];
  /** Places of the key columns among those that are read. */
  readonly keyAt: readonly number[];
  /** Name of the key that hides positions, since they hold values of a masked key column; null where they hold none. */
  readonly positionKey: string | null;
}

export const NO_MASKS: MaskPlan = { columns: [], dropped: [], keyAt: [], positionKey: null };

/** Types whose values look the same in COPY's binary format and as text: their own bytes, in the session's encoding. */
const TEXTS = /^(text|character varying(\(\d+\))?|character(\(\d+\))?|bpchar)$/;

/**
 * True where the rows of the stream can be masked in COPY's binary format too: each masked column is text before and after its mask.
 * `encrypt` binds the row's key in, as text.
 */
export function mayMaskBinary(masks: MaskPlan): boolean {
  return masks.columns.every(({ type, mask }) => TEXTS.test(type) && mask.kind !== 'encrypt' && maskedType(mask) === 'text');
}

/** The type that the target column of a masked column has. */
export function maskedType(mask: ValueMaskSetting): string {
  return mask.kind === 'date_year' ? 'date' : 'text';
}

export interface MaskScope {
  readonly stream: StreamSettings;
  /** Finds a column by its name in the file; throws `source.column_missing`. */
  readonly find: (name: string) => Column;
  /** Columns that are read, in order. */
  readonly columns: readonly Column[];
  readonly key: readonly string[];
  readonly cursor: string | null;
}

/** Throws `source.column_missing` for an unknown column, `config.invalid` for a mask that the column can't have. */
export function planMasks({ stream, find, columns, key, cursor }: MaskScope): MaskPlan {
  const masked: MaskedColumn[] = [];
  const dropped: string[] = [];
  for (const [written, mask] of Object.entries(stream.masks)) {
    const column = find(written);
    const index = columns.findIndex((each) => each.name === column.name);
    if (index < 0) continue;
    requireMaskable(stream, column, mask, key, cursor);
    if (mask.kind === 'drop') dropped.push(column.name);
    else masked.push({ index, name: column.name, targetName: column.targetName, mask: mask as ValueMaskSetting, type: column.pgType });
  }
  if (masked.length === 0 && dropped.length === 0) return NO_MASKS;
  const read = columns.filter((column) => !dropped.includes(column.name)).map((column) => column.name);
  const placed = masked.map((each) => ({ ...each, index: read.indexOf(each.name) })).sort((a, b) => a.index - b.index);
  const hidden = placed.find((each) => key.includes(each.name));
  const positionKey = hidden !== undefined && 'key' in hidden.mask ? hidden.mask.key : null;
  return { columns: placed, dropped, keyAt: key.map((name) => read.indexOf(name)), positionKey };
}

function requireMaskable(stream: StreamSettings, column: Column, mask: Mask, key: readonly string[], cursor: string | null): void {
  const refuse = (what: string, hint: string) => new TidemarkError('config.invalid', `The mask ${mask.kind} of column ${column.name} in stream ${stream.name} ${what}.`, { hint });
  if (column.name === cursor) {
    throw refuse('would hide the cursor, by whose order new rows are found', 'Name another cursor with cursor: ..., or use mode: replace, which needs none.');
  }
  if (key.includes(column.name) && mask.kind !== 'hmac' && mask.kind !== 'encrypt') {
    throw refuse('would make different keys equal', 'Mask a key column with { hmac: KEY } or { encrypt: KEY }.');
  }
  if (mask.kind === 'date_year' && !/^(date|timestamp)/.test(column.pgType)) {
    throw refuse(`needs a date, and the column is ${column.pgType}`, 'Use redact, partial, hmac, encrypt or drop.');
  }
}

/** What `plan` says of the masks. */
export function maskNotes(masks: MaskPlan): string[] {
  const kept = masks.columns.map(({ name, mask }) => `${name}: masked (${mask.kind}${'key' in mask ? ` with ${mask.key}` : ''}), kept as ${maskedType(mask)}`);
  return [...kept, ...masks.dropped.map((name) => `${name}: masked (drop), not carried at all`)];
}
