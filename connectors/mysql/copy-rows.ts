/**
 * From the row packets of MySQL's text protocol to COPY text, byte by byte: no field becomes a string, a number or a Date.
 *
 * A text row is a sequence of length-encoded strings (0xfb: NULL; < 0xfb: the length; 0xfc, 0xfd, 0xfe: a length of 2, 3, 8 bytes).
 * Small rows are written in one pass and taken back if a field is refused; a row too long for the chunk is checked first and
 * then written in slices, so that a value of any size costs one packet and one chunk of memory.
 */
import { isUtf8 } from 'node:buffer';
import { dateFault, fieldFault, type FieldCode } from './field-check.ts';
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

const CHUNK_BYTES = 128 * 1024;
/** A field's most beyond twice its bytes: `\\x`, `+00`, 64 bits of 8 bytes, `\N`, a tab. */
const FIELD_EXTRA = 72;
/** Beyond this length a native copy beats a loop. */
const NATIVE_COPY_BYTES = 96;
const SLICE_BYTES = 16 * 1024;

const TAB = 0x09;
const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const CAPITAL_N = 0x4e;
const NUL_SEEN = -1;
const NOT_UTF8 = -2;

/** What follows the backslash for a byte that COPY text escapes; 255 for U+0000, which text can't hold. */
const ESCAPES = new Uint8Array(256);
ESCAPES[0] = 255;
ESCAPES[TAB] = 0x74;
ESCAPES[NEWLINE] = 0x6e;
ESCAPES[0x0d] = 0x72;
ESCAPES[BACKSLASH] = BACKSLASH;

const HEX = Buffer.from('0123456789abcdef');

function writeText(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  let seen = 0;
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    const escape = ESCAPES[byte]!;
    if (escape !== 0) {
      if (escape === 255) return NUL_SEEN;
      out[at++] = BACKSLASH;
      out[at++] = escape;
    } else {
      seen |= byte;
      out[at++] = byte;
    }
  }
  return seen >= 0x80 && !isUtf8(bytes.subarray(start, end)) ? NOT_UTF8 : at;
}

function writePlain(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  if (end - start > NATIVE_COPY_BYTES) return at + bytes.copy(out, at, start, end);
  for (let index = start; index < end; index += 1) out[at++] = bytes[index]!;
  return at;
}

function writeHex(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    out[at++] = HEX[byte >> 4]!;
    out[at++] = HEX[byte & 15]!;
  }
  return at;
}

/** `\\x`: COPY's escape of the backslash before bytea's x. */
function writeHexPrefix(out: Buffer, at: number): number {
  out[at] = BACKSLASH;
  out[at + 1] = BACKSLASH;
  out[at + 2] = 0x78;
  return at + 3;
}

function writeBits(out: Buffer, at: number, bytes: Buffer, end: number, bits: number): number {
  for (let bit = bits - 1; bit >= 0; bit -= 1) out[at++] = 0x30 + ((bytes[end - 1 - (bit >> 3)]! >> (bit & 7)) & 1);
  return at;
}

function writeNull(out: Buffer, at: number): number {
  out[at] = BACKSLASH;
  out[at + 1] = CAPITAL_N;
  return at + 2;
}

/** An internal geometry is four bytes of SRID and then WKB, always x before y. */
const SRID_BYTES = 4;

class CopyTextEncoder implements RowEncoder {
  readonly #fields: readonly RowField[];
  readonly #zeroDates: 'reject' | 'null';
  readonly #sink: (chunk: Buffer) => void;
  #out = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #at = 0;
  /** Where the field that {@link #length} read begins; -1 as its length is NULL. */
  #position = 0;

  constructor(fields: readonly RowField[], zeroDates: 'reject' | 'null', sink: (chunk: Buffer) => void) {
    this.#fields = fields;
    this.#zeroDates = zeroDates;
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
    if (need > CHUNK_BYTES) return this.#longRow(packet, at);
    this.#reserve(need);
    const start = this.#at;
    if (this.#shortRow(packet, at)) return null;
    this.#at = start;
    return this.#rejectedRow(packet, at);
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes > CHUNK_BYTES) this.flush();
  }

  #length(packet: Buffer, at: number): number {
    const first = packet[at]!;
    if (first < 0xfb) {
      this.#position = at + 1;
      return first;
    }
    if (first === 0xfb) {
      this.#position = at + 1;
      return -1;
    }
    const width = first === 0xfc ? 2 : first === 0xfd ? 3 : 6;
    this.#position = at + 1 + (first === 0xfe ? 8 : width);
    return packet.readUIntLE(at + 1, width);
  }

  /** Writes all fields, or returns false at the first that is refused. */
  #shortRow(packet: Buffer, start: number): boolean {
    const fields = this.#fields;
    const out = this.#out;
    let at = this.#at;
    let read = start;
    for (let index = 0; index < fields.length; index += 1) {
      const length = this.#length(packet, read);
      const from = this.#position;
      if (length < 0) {
        at = writeNull(out, at);
        read = from;
      } else {
        read = from + length;
        at = this.#field(fields[index]!, out, at, packet, from, read);
        if (at < 0) return false;
      }
      out[at++] = TAB;
    }
    at = writeNull(out, at);
    out[at++] = TAB;
    at = writeNull(out, at);
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
        return fieldFault('json', packet, from, end) === null ? writeText(out, at, packet, from, end) : NUL_SEEN;
      case 'boolean':
        if (fieldFault('boolean', packet, from, end) !== null) return NUL_SEEN;
        out[at] = packet[from] === 0x30 ? 0x66 : 0x74;
        return at + 1;
    }
  }

  #date(encoding: Encoding, out: Buffer, at: number, packet: Buffer, from: number, end: number): number {
    const fault = dateFault(packet, from);
    if (fault !== null) return fault === 'zero_date' && this.#zeroDates === 'null' ? writeNull(out, at) : NUL_SEEN;
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

/** {@link writeText} of bytes known to be UTF-8 without U+0000: a slice may end inside a character. */
function writeEscaped(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    const escape = ESCAPES[byte]!;
    if (escape !== 0) out[at++] = BACKSLASH;
    out[at++] = escape === 0 ? byte : escape;
  }
  return at;
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
 * Rows with two fields more than `fields`: `[{"column","code"}]` and the row's values, both `\N` where nothing is refused.
 * `sink` takes chunks of up to 128 KiB that it may keep.
 */
export function createRowEncoder(fields: readonly RowField[], zeroDates: 'reject' | 'null', sink: (chunk: Buffer) => void): RowEncoder {
  return new CopyTextEncoder(fields, zeroDates, sink);
}
