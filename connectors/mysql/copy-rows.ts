/**
 * From the row packets of MySQL's text protocol to COPY text, byte by byte: no field becomes a string, a number or a Date.
 *
 * A text row is a sequence of length-encoded strings (0xfb: NULL; < 0xfb: the length; 0xfc, 0xfd, 0xfe: a length of 2, 3, 8 bytes).
 * Small rows are written in one pass and taken back if a field is refused; a row too long for the chunk is checked first and
 * then written in slices, so that a value of any size costs one packet and one chunk of memory.
 */
import { isUtf8 } from 'node:buffer';
import { TidemarkError } from '../../schemas/errors.ts';
import { NEWLINE, REFUSED, TAB, writeBits, writeEscaped, writeHex, writeHexPrefix, writeNull, writePlain, writeText } from './copy-text.ts';
import { dateFault, fieldFault, type FieldCode } from './field-check.ts';
import { ShortRows } from './short-rows.ts';
import type { Encoding } from './types.ts';

export interface RowField {
  readonly name: string;
  readonly encoding: Encoding;
  /** Of a bit(n). */
  readonly bits: number;
}

export interface RowEncoder {
  /**
   * One row: bytes `[at, end)` of a packet. Null: it is written and the packet is not kept. Of a row too long for a chunk the rest
   * is written by stepping through what is returned, a chunk or so at a time, before the next row.
   */
  row(packet: Buffer, at: number, end: number): Generator<void> | null;
  /** Hands what is left to the sink. */
  flush(): void;
}

export interface RowEncoderOptions {
  readonly fields: readonly RowField[];
  readonly zeroDates: 'reject' | 'null';
  /** Without marks a refused row throws `source.row_refused`. */
  readonly marks: boolean;
}

const CHUNK_BYTES = 128 * 1024;
/** A field's most beyond twice its bytes: `\\x`, `+00`, 64 bits of 8 bytes, `\N`, a tab. */
const FIELD_EXTRA = 72;
const SLICE_BYTES = 16 * 1024;
/** An internal geometry is four bytes of SRID and then WKB, always x before y. */
const SRID_BYTES = 4;

class CopyTextEncoder implements RowEncoder {
  readonly #fields: readonly RowField[];
  readonly #zeroDates: 'reject' | 'null';
  readonly #sink: (chunk: Buffer) => void;
  /** Rows carry the two fields that tell what of them is refused; without them a refused row ends the read. */
  readonly #marks: boolean;
  readonly #short: ShortRows;
  #out = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #at = 0;
  /** Where the field that {@link #length} read begins. */
  #position = 0;

  constructor(options: RowEncoderOptions, sink: (chunk: Buffer) => void) {
    this.#fields = options.fields;
    this.#zeroDates = options.zeroDates;
    this.#marks = options.marks;
    this.#short = new ShortRows(options.fields.map(({ encoding }) => encoding), (index, out, at, packet, from, end) => this.#field(this.#fields[index]!, out, at, packet, from, end));
    this.#sink = sink;
  }

  flush(): void {
    if (this.#at === 0) return;
    this.#sink(this.#out.subarray(0, this.#at));
    this.#out = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    this.#at = 0;
  }

  row(packet: Buffer, at: number, end: number): Generator<void> | null {
    const need = 2 * (end - at) + FIELD_EXTRA * (this.#fields.length + 2);
    if (need > CHUNK_BYTES) {
      if (!this.#marks) this.#refuse(packet, at);
      return this.#longRow(packet, at);
    }
    this.#reserve(need);
    if (this.#shortRow(packet, at)) return null;
    if (!this.#marks) this.#refuse(packet, at);
    return this.#rejectedRow(packet, at);
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > CHUNK_BYTES) this.flush();
  }

  /** -1 for NULL. */
  #length(packet: Buffer, at: number): number {
    const first = packet[at]!;
    if (first <= 0xfb) {
      this.#position = at + 1;
      return first === 0xfb ? -1 : first;
    }
    const width = first === 0xfc ? 2 : first === 0xfd ? 3 : 6;
    this.#position = at + 1 + (first === 0xfe ? 8 : width);
    return packet.readUIntLE(at + 1, width);
  }

  /** Writes all fields, or returns false at the first that is refused. */
  #shortRow(packet: Buffer, start: number): boolean {
    const out = this.#out;
    let at = this.#short.write(out, this.#at, packet, start);
    if (at < 0) return false;
    if (this.#marks) {
      out[at++] = TAB;
      at = writeNull(out, at);
      out[at++] = TAB;
      at = writeNull(out, at);
    }
    out[at++] = NEWLINE;
    this.#at = at;
    return true;
  }

  #field(field: RowField, out: Buffer, at: number, packet: Buffer, from: number, end: number): number {
    switch (field.encoding) {
      case 'plain':
        return writePlain(out, at, packet, from, end);
      case 'text':
        return writeText(out, at, packet, from, end);
      case 'timestamptz':
      case 'timestamp':
      case 'date':
        return this.#date(field.encoding, out, at, packet, from, end);
      case 'bytes':
        return writeHex(out, writeHexPrefix(out, at), packet, from, end);
      case 'geometry':
        return writeHex(out, writeHexPrefix(out, at), packet, from + SRID_BYTES, end);
      case 'bit':
        return writeBits(out, at, packet, end, field.bits);
      case 'json':
        return fieldFault('json', packet, from, end) === null ? writeText(out, at, packet, from, end) : REFUSED;
      case 'boolean':
        if (fieldFault('boolean', packet, from, end) !== null) return REFUSED;
        out[at] = packet[from] === 0x30 ? 0x66 : 0x74;
        return at + 1;
    }
  }

  #date(encoding: Encoding, out: Buffer, at: number, packet: Buffer, from: number, end: number): number {
    const fault = dateFault(packet, from);
    if (fault !== null) return fault === 'zero_date' && this.#zeroDates === 'null' ? writeNull(out, at) : REFUSED;
    at = writePlain(out, at, packet, from, end);
    if (encoding !== 'timestamptz') return at;
    // The session's zone is UTC; the target's need not be.
    out[at] = 0x2b;
    out[at + 1] = 0x30;
    out[at + 2] = 0x30;
    return at + 3;
  }

  /** The fields with their bounds in the packet; `from` is -1 for NULL. */
  #bounds(packet: Buffer, start: number): readonly FieldBounds[] {
    let read = start;
    return this.#fields.map((field) => {
      const length = this.#length(packet, read);
      const from = this.#position;
      read = length < 0 ? from : from + length;
      return { field, from: length < 0 ? -1 : from, end: read };
    });
  }

  #faults(packet: Buffer, start: number): readonly { readonly column: string; readonly code: FieldCode }[] {
    return this.#bounds(packet, start).flatMap(({ field, from, end }) => {
      const code = from < 0 ? null : fieldFault(field.encoding, packet, from, end);
      return code === null || (code === 'zero_date' && this.#zeroDates === 'null') ? [] : [{ column: field.name, code }];
    });
  }

  /** Throws where a field of the row is refused. */
  #refuse(packet: Buffer, start: number): void {
    const fault = this.#faults(packet, start)[0];
    if (fault === undefined) return;
    throw new TidemarkError('source.row_refused', `Column ${fault.column} of a row holds what its type can't (${fault.code}).`, { hint: 'The rows are read again, and such rows go to quarantine.' });
  }

  *#longRow(packet: Buffer, start: number): Generator<void> {
    if (this.#faults(packet, start).length > 0) {
      yield* this.#rejectedRow(packet, start);
      return;
    }
    for (const { field, from, end } of this.#bounds(packet, start)) {
      this.#reserve(2 * SLICE_BYTES + FIELD_EXTRA);
      if (from < 0) this.#at = writeNull(this.#out, this.#at);
      else if (end - from <= SLICE_BYTES) this.#at = this.#field(field, this.#out, this.#at, packet, from, end);
      else yield* this.#longField(field, packet, from, end);
      this.#out[this.#at++] = TAB;
    }
    this.#tail();
  }

  *#longField(field: RowField, packet: Buffer, from: number, end: number): Generator<void> {
    const hex = field.encoding === 'bytes' || field.encoding === 'geometry';
    if (hex) this.#at = writeHexPrefix(this.#out, this.#at);
    yield* this.#sliced(hex ? writeHex : writeEscaped, packet, field.encoding === 'geometry' ? from + SRID_BYTES : from, end);
    this.#reserve(FIELD_EXTRA);
  }

  *#sliced(write: typeof writeHex, bytes: Buffer, from: number, end: number): Generator<void> {
    for (let slice = from; slice < end; slice += SLICE_BYTES) {
      this.#reserve(2 * SLICE_BYTES + FIELD_EXTRA);
      this.#at = write(this.#out, this.#at, bytes, slice, Math.min(end, slice + SLICE_BYTES));
      yield;
    }
  }

  /** The two fields of a row that nothing is wrong with. */
  #tail(): void {
    if (!this.#marks) {
      this.#out[this.#at - 1] = NEWLINE;
      return;
    }
    this.#reserve(2 * FIELD_EXTRA);
    this.#at = writeNull(this.#out, this.#at);
    this.#out[this.#at++] = TAB;
    this.#at = writeNull(this.#out, this.#at);
    this.#out[this.#at++] = NEWLINE;
  }

  *#rejectedRow(packet: Buffer, start: number): Generator<void> {
    const faults = Buffer.from(JSON.stringify(this.#faults(packet, start)));
    // Built by hand: an object would lose a column called __proto__.
    const members = this.#bounds(packet, start).map(({ field, from, end }) =>
      `${JSON.stringify(field.name)}:${JSON.stringify(from < 0 ? null : showValue(field, packet, from, end))}`);
    const shown = Buffer.from(`{${members.join(',')}}`);
    for (let index = 0; index < this.#fields.length; index += 1) {
      this.#reserve(FIELD_EXTRA);
      this.#at = writeNull(this.#out, this.#at);
      this.#out[this.#at++] = TAB;
    }
    yield* this.#sliced(writeEscaped, faults, 0, faults.length);
    this.#reserve(FIELD_EXTRA);
    this.#out[this.#at++] = TAB;
    yield* this.#sliced(writeEscaped, shown, 0, shown.length);
    this.#reserve(FIELD_EXTRA);
    this.#out[this.#at++] = NEWLINE;
  }
}

interface FieldBounds {
  readonly field: RowField;
  readonly from: number;
  readonly end: number;
}

/** A value of a rejected row as text. Bytes, and text that no PostgreSQL text can hold, are `\x` and hexadecimal digits. */
function showValue(field: RowField, packet: Buffer, from: number, end: number): string {
  const value = packet.subarray(field.encoding === 'geometry' ? from + SRID_BYTES : from, end);
  if (field.encoding === 'bit') {
    const bits = Buffer.alloc(64);
    return bits.toString('latin1', 0, writeBits(bits, 0, value, value.length, field.bits));
  }
  const opaque = field.encoding === 'bytes' || field.encoding === 'geometry' || value.includes(0) || !isUtf8(value);
  return opaque ? `\\x${value.toString('hex')}` : value.toString('utf8');
}

/**
 * Rows with two fields more than `fields` where they are marked: `[{"column","code"}]` and the row's values, both `\N` where nothing is refused.
 * `sink` takes chunks of up to 128 KiB that it may keep.
 */
export function createRowEncoder(options: RowEncoderOptions, sink: (chunk: Buffer) => void): RowEncoder {
  return new CopyTextEncoder(options, sink);
}
