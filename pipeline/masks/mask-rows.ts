import { Transform, type TransformCallback } from 'node:stream';
import { TidemarkError } from '../../schemas/errors.ts';
import { escapeField, fieldValue, isEscaped, isNull } from './copy-field.ts';
import type { MaskKeys } from './mask-key.ts';
import { MaskedBytes } from './masked-bytes.ts';
import { maskRejected } from './rejected-values.ts';
import { columnMasks, maskFailure, requireRowFits, type ColumnMask, type RowsToMask } from './rows-to-mask.ts';
import { lengthPrefixed, type ValueMask } from './value-masks.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const NO_KEY = Buffer.alloc(0);
/** Fields after the columns in rows that a connector marks: reasons and values. */
const MARK_FIELDS = 2;

/**
 * Masks rows of COPY text on their way to the destination: of a masked column nothing else comes out. Bytes of other columns pass as they are.
 * Fails with `source.protocol` on a row of another number of fields, before anything of it leaves, and `batch.row_too_large`.
 */
export class MaskRows extends Transform {
  readonly #rows: RowsToMask;
  readonly #masks: readonly ColumnMask[];
  readonly #wantsKey: boolean;
  readonly #fields: number;
  /** Where each field of the row at hand begins; one more for the end. */
  readonly #begins: Int32Array;
  /** The begin of a row whose end has not come yet. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  readonly #out: MaskedBytes;

  constructor(rows: RowsToMask, keys: MaskKeys) {
    super({ highWaterMark: 1 << 18 });
    this.#rows = rows;
    this.#masks = columnMasks(rows, keys);
    this.#out = new MaskedBytes((block) => this.push(block));
    this.#wantsKey = rows.masks.columns.some((column) => column.mask.kind === 'encrypt');
    this.#fields = rows.columns + (rows.marksRejects ? MARK_FIELDS : 0);
    this.#begins = new Int32Array(this.#fields + 1);
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      this.#take(chunk);
      this.#out.hand();
      done();
    } catch (error) {
      done(maskFailure(error));
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#restBytes === 0 ? null : new TidemarkError('source.read_interrupted', `The rows of ${this.#rows.stream} ended in the middle of one.`));
  }

  #take(chunk: Buffer): void {
    let at = 0;
    if (this.#restBytes > 0) {
      const end = chunk.indexOf(NEWLINE) + 1;
      this.#keep(end === 0 ? chunk : chunk.subarray(0, end));
      if (end === 0) return;
      const row = Buffer.concat(this.#rest);
      [this.#rest, this.#restBytes, at] = [[], 0, end];
      this.#whole(row, 0, row.length);
    }
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end > at) this.#whole(chunk, at, end);
    if (Math.max(end, at) < chunk.length) this.#keep(Buffer.from(chunk.subarray(Math.max(end, at))));
  }

  #keep(part: Buffer): void {
    this.#rest.push(part);
    this.#restBytes += part.length;
    requireRowFits(this.#restBytes, this.#rows.stream);
  }

  /** Rows from `from` to `end`, all of them whole. */
  #whole(rows: Buffer, from: number, end: number): void {
    let copied = from;
    let at = from;
    while (at < end) {
      const next = this.#split(rows, at);
      copied = this.#rows.marksRejects && !isNull(rows, this.#begins[this.#rows.columns]!, this.#begins[this.#rows.columns + 1]! - 1)
        ? this.#rejected(rows, copied)
        : this.#good(rows, copied);
      at = next;
    }
    this.#out.copy(rows, copied, end);
  }

  /** Finds the fields of the row at `at`; returns where the next row begins. */
  #split(rows: Buffer, at: number): number {
    const begins = this.#begins;
    const fields = this.#fields;
    begins[0] = at;
    let field = 0;
    for (let index = at; ; index += 1) {
      const byte = rows[index]!;
      if (byte > NEWLINE || (byte !== TAB && byte !== NEWLINE)) continue;
      field += 1;
      if (field <= fields) begins[field] = index + 1;
      if (byte === TAB) continue;
      if (field === fields) return index + 1;
      throw new TidemarkError('source.protocol', `A row of ${this.#rows.stream} came with ${field} fields instead of ${fields}; nothing of it was written.`);
    }
  }

  /** Returns up to where the row's bytes have been written. */
  #good(rows: Buffer, copiedTo: number): number {
    let copied = copiedTo;
    const rowKey = this.#wantsKey ? this.#keyOf(rows) : NO_KEY;
    for (const { index, mask, plain } of this.#masks) {
      const from = this.#begins[index]!;
      const to = this.#begins[index + 1]! - 1;
      if (isNull(rows, from, to)) continue;
      this.#out.copy(rows, copied, from);
      const value = masked(mask, rows, from, to, rowKey);
      if (plain && value !== null) this.#out.ascii(value);
      else this.#write(value);
      copied = to;
    }
    return copied;
  }

  /** The columns of a marked row are NULL; its values stand in the last field, by name. */
  #rejected(rows: Buffer, copiedTo: number): number {
    const copied = this.#good(rows, copiedTo);
    const last = this.#rows.columns + 1;
    const from = this.#begins[last]!;
    const to = this.#begins[last + 1]! - 1;
    if (isNull(rows, from, to)) return copied;
    this.#out.copy(rows, copied, from);
    this.#write(maskRejected(fieldValue(rows, from, to).toString('utf8'), this.#rows.masks, this.#masks.map(({ mask }) => mask)));
    return to;
  }

  #keyOf(rows: Buffer): Buffer {
    return lengthPrefixed(this.#rows.masks.keyAt.map((index) => fieldValue(rows, this.#begins[index]!, this.#begins[index + 1]! - 1)));
  }

  #write(value: string | null): void {
    this.#out.text(value === null ? '\\N' : escapeField(value));
  }
}

function masked(mask: ValueMask, rows: Buffer, from: number, to: number, rowKey: Buffer): string | null {
  if (!isEscaped(rows, from, to)) return mask(rows, from, to, rowKey);
  const value = fieldValue(rows, from, to);
  return mask(value, 0, value.length, rowKey);
}
