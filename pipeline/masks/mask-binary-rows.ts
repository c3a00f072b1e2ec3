import { Transform, type TransformCallback } from 'node:stream';
import { TidemarkError } from '../../schemas/errors.ts';
import type { MaskKeys } from './mask-key.ts';
import { MaskedBytes } from './masked-bytes.ts';
import { columnMasks, maskFailure, requireRowFits, type ColumnMask, type RowsToMask } from './rows-to-mask.ts';

/** "PGCOPY\n\377\r\n\0", which begins COPY's binary format (PostgreSQL manual, COPY, "Binary Format"). */
const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1');
/** The signature, flags, and the length of an extension that no server sends yet. */
const HEADER_BYTES = SIGNATURE.length + 8;
const COUNT_BYTES = 2;
const LENGTH_BYTES = 4;
/** Number of fields that ends the rows. */
const TRAILER = -1;
const NO_KEY = Buffer.alloc(0);
/** What is first taken of a chunk to complete the row before it: most rows are shorter. */
const PIECE_BYTES = 1024;
const INCOMPLETE = -1;

/**
 * Masks rows in COPY's binary format, for columns whose binary form is their text in UTF-8 (`mayMaskBinary`). Of a masked column nothing else
 * comes out; bytes of other columns pass as they are. Fails with `source.protocol` on a row of another number of fields, before anything of it
 * leaves, `source.read_interrupted` where the end is missing, and `batch.row_too_large`.
 */
export class MaskBinaryRows extends Transform {
  readonly #rows: RowsToMask;
  readonly #masks: readonly ColumnMask[];
  /** Where the length of each field of the row at hand stands; one more for the row's end. */
  readonly #begins: Int32Array;
  readonly #out: MaskedBytes;
  /** The begin of a row whose end has not come yet: the first {@link #restBytes} bytes. */
  #rest = Buffer.alloc(0);
  #restBytes = 0;
  /** Up to where the bytes at hand have been written. */
  #copied = 0;
  #state: 'header' | 'rows' | 'ended' = 'header';

  constructor(rows: RowsToMask, keys: MaskKeys) {
    super({ highWaterMark: 1 << 18 });
    this.#rows = rows;
    this.#masks = columnMasks(rows, keys);
    this.#begins = new Int32Array(rows.columns + 1);
    this.#out = new MaskedBytes((block) => this.push(block));
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    try {
      const at = this.#restBytes > 0 ? this.#completeRest(chunk) : 0;
      if (at < chunk.length) this.#keep(chunk, this.#take(chunk, at, chunk.length), chunk.length);
      this.#out.hand();
      done();
    } catch (error) {
      done(maskFailure(error));
    }
  }

  override _flush(done: TransformCallback): void {
    done(this.#state === 'ended' ? null : new TidemarkError('source.read_interrupted', `The rows of ${this.#rows.stream} ended before their end was told.`));
  }

  /** Writes the row (or header) whose begin came earlier; returns how many bytes of the chunk belong to it. */
  #completeRest(chunk: Buffer): number {
    let taken = 0;
    for (let piece = PIECE_BYTES; taken < chunk.length; piece *= 2) {
      const before = this.#restBytes;
      const to = Math.min(chunk.length, taken + piece);
      this.#keep(chunk, taken, to);
      this.#copied = 0;
      const end = this.#one(this.#rest, 0, this.#restBytes);
      if (end !== INCOMPLETE) {
        this.#out.copy(this.#rest, this.#copied, end);
        this.#restBytes = 0;
        return taken + end - before;
      }
      taken = to;
    }
    return taken;
  }

  #keep(bytes: Buffer, from: number, to: number): void {
    const kept = this.#restBytes + to - from;
    requireRowFits(kept, this.#rows.stream);
    if (kept > this.#rest.length) {
      const wider = Buffer.allocUnsafeSlow(Math.max(PIECE_BYTES, 2 * kept));
      this.#rest.copy(wider, 0, 0, this.#restBytes);
      this.#rest = wider;
    }
    bytes.copy(this.#rest, this.#restBytes, from, to);
    this.#restBytes = kept;
  }

  /** Writes what is whole of `bytes[from, to)`; returns where the rest begins. */
  #take(bytes: Buffer, from: number, to: number): number {
    let at = from;
    this.#copied = from;
    while (at < to) {
      const end = this.#one(bytes, at, to);
      if (end === INCOMPLETE) break;
      at = end;
    }
    this.#out.copy(bytes, this.#copied, at);
    return at;
  }

  /**
   * Takes the header, row or trailer at `at` and returns its end; {@link INCOMPLETE} where `to` comes before that. What it does not write
   * itself is the caller's to copy, from {@link #copied} on.
   */
  #one(bytes: Buffer, at: number, to: number): number {
    if (this.#state === 'ended') throw this.#wrong('went on after their end');
    if (this.#state === 'header') return this.#header(bytes, at, to);
    if (to - at < COUNT_BYTES) return INCOMPLETE;
    const fields = bytes.readInt16BE(at);
    if (fields === TRAILER) {
      this.#state = 'ended';
      return at + COUNT_BYTES;
    }
    if (fields !== this.#rows.columns) throw this.#wrong(`came with ${fields} fields instead of ${this.#rows.columns}`);
    const end = this.#split(bytes, at, to);
    if (end !== INCOMPLETE) this.#row(bytes);
    return end;
  }

  #header(bytes: Buffer, at: number, to: number): number {
    if (to - at < HEADER_BYTES) return INCOMPLETE;
    // Flags say that rows carry more than their fields; an extension has no meaning yet.
    const plain = bytes.compare(SIGNATURE, 0, SIGNATURE.length, at, at + SIGNATURE.length) === 0 && bytes.readInt32BE(at + SIGNATURE.length) === 0 && bytes.readInt32BE(at + SIGNATURE.length + 4) === 0;
    if (!plain) throw this.#wrong('came in a form that is not known');
    this.#state = 'rows';
    return at + HEADER_BYTES;
  }

  /** Finds the fields of the row at `at`; returns where the next one begins. */
  #split(bytes: Buffer, at: number, to: number): number {
    const begins = this.#begins;
    const fields = begins.length - 1;
    let next = at + COUNT_BYTES;
    for (let field = 0; field < fields; field += 1) {
      begins[field] = next;
      if (next + LENGTH_BYTES > to) return INCOMPLETE;
      const length = lengthAt(bytes, next);
      if (length < -1) throw this.#wrong('came with a field of no length');
      requireRowFits(length, this.#rows.stream);
      next += LENGTH_BYTES + (length < 0 ? 0 : length);
    }
    begins[fields] = next;
    return next > to ? INCOMPLETE : next;
  }

  #row(bytes: Buffer): void {
    for (const { index, mask, plain } of this.#masks) {
      const from = this.#begins[index]!;
      const to = this.#begins[index + 1]!;
      if (lengthAt(bytes, from) < 0) continue;
      this.#out.copy(bytes, this.#copied, from);
      this.#write(mask(bytes, from + LENGTH_BYTES, to, NO_KEY), plain);
      this.#copied = to;
    }
  }

  #write(value: string | null, plain: boolean): void {
    if (value === null) return this.#out.int32(-1);
    this.#out.int32(plain ? value.length : Buffer.byteLength(value));
    if (plain) this.#out.ascii(value);
    else this.#out.text(value);
  }

  #wrong(what: string): TidemarkError {
    return new TidemarkError('source.protocol', `Rows of ${this.#rows.stream} ${what}; nothing of them was written.`);
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
}
