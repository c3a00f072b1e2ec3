/**
 * Rows of the text protocol that are COPY text already but for their separators: where each value is preceded by one byte of its length, COPY
 * wants a tab. So the separators are put in place in the packet and a row is copied in one piece; a value that needs more than that ends the
 * piece and is written by itself.
 */
import { isUtf8 } from 'node:buffer';
import { isEscapedByte, TAB, writeNull } from './copy-text.ts';
import { dateFault } from './field-check.ts';
import type { Encoding } from './types.ts';

const NULL_MARK = 0xfb;
/** Below this a loop copies faster than a call out of JavaScript. */
const SHORT_BYTES = 48;
const ZERO = 0x30;

/** How a value is looked at before it may stay where it is. */
const AS_IT_IS = 0;
const TEXT = 1;
const DATE = 2;
const BY_ITSELF = 3;

const LOOKS: Readonly<Record<Encoding, number>> = {
  plain: AS_IT_IS, text: TEXT, date: DATE, timestamp: DATE,
  timestamptz: BY_ITSELF, bytes: BY_ITSELF, geometry: BY_ITSELF, bit: BY_ITSELF, json: BY_ITSELF, boolean: BY_ITSELF,
};

/** Writes the value `[from, end)` of the field at `index`; where it ends, or negative where it is refused. */
export type WriteField = (index: number, out: Buffer, at: number, packet: Buffer, from: number, end: number) => number;

export class ShortRows {
  readonly #looks: Uint8Array;
  readonly #write: WriteField;
  /** The bytes of the row at hand that a tab has taken the place of. */
  readonly #lengths: Uint8Array;
  readonly #places: Int32Array;

  constructor(encodings: readonly Encoding[], write: WriteField) {
    this.#looks = Uint8Array.from(encodings, (encoding) => LOOKS[encoding]);
    this.#write = write;
    this.#lengths = new Uint8Array(encodings.length);
    this.#places = new Int32Array(encodings.length);
  }

  /**
   * Writes the fields of a row with tabs between them; `out` has room for what it may need. Where it ends, or negative where a field is
   * refused: then the packet is as it came.
   */
  write(out: Buffer, start: number, packet: Buffer, rowAt: number): number {
    const looks = this.#looks;
    let at = start;
    let piece = rowAt;
    let read = rowAt;
    let tabs = 0;
    for (let index = 0; index < looks.length; index += 1) {
      const length = packet[read]!;
      const from = read + 1;
      if (length < NULL_MARK && stays(looks[index]!, packet, from, from + length)) {
        if (index === 0) piece = from;
        else {
          this.#lengths[tabs] = length;
          this.#places[tabs++] = read;
          packet[read] = TAB;
        }
        read = from + length;
        continue;
      }
      at = copy(out, at, packet, piece, read);
      if (index > 0) out[at++] = TAB;
      const width = length <= NULL_MARK ? 0 : length === 0xfc ? 2 : length === 0xfd ? 3 : 8;
      const valueAt = from + width;
      if (length === NULL_MARK) at = writeNull(out, at);
      read = length === NULL_MARK ? from : valueAt + (width === 0 ? length : packet.readUIntLE(from, Math.min(width, 6)));
      if (length !== NULL_MARK) at = this.#write(index, out, at, packet, valueAt, read);
      if (at < 0) return this.#takeBack(packet, tabs);
      piece = read;
    }
    return copy(out, at, packet, piece, read);
  }

  #takeBack(packet: Buffer, tabs: number): number {
    for (let tab = 0; tab < tabs; tab += 1) packet[this.#places[tab]!] = this.#lengths[tab]!;
    return -1;
  }
}

function copy(out: Buffer, at: number, packet: Buffer, from: number, end: number): number {
  if (end - from > SHORT_BYTES) return at + packet.copy(out, at, from, end);
  for (let index = from; index < end; index += 1) out[at++] = packet[index]!;
  return at;
}

/** True where the value's bytes are its COPY text. */
function stays(look: number, packet: Buffer, from: number, end: number): boolean {
  if (look === AS_IT_IS) return true;
  if (look === TEXT) return isCleanText(packet, from, end);
  return look === DATE && isDate(packet, from);
}

function isCleanText(packet: Buffer, from: number, end: number): boolean {
  let seen = 0;
  for (let index = from; index < end; index += 1) {
    const byte = packet[index]!;
    if (isEscapedByte(byte)) return false;
    seen |= byte;
  }
  return seen < 0x80 || isUtf8(packet.subarray(from, end));
}

/** The days that every month has are told without a call. */
function isDate(packet: Buffer, at: number): boolean {
  const month = (packet[at + 5]! - ZERO) * 10 + packet[at + 6]! - ZERO;
  const day = (packet[at + 8]! - ZERO) * 10 + packet[at + 9]! - ZERO;
  const inYear = packet[at] !== ZERO || packet[at + 1] !== ZERO || packet[at + 2] !== ZERO || packet[at + 3] !== ZERO;
  return (inYear && month >= 1 && month <= 12 && day >= 1 && day <= 28) || dateFault(packet, at) === null;
}
