/** Values as COPY text, from bytes to bytes. Each writes `bytes[start, end)` to `out` from `at` on and returns where it ended. */
import { isUtf8 } from 'node:buffer';

/** Beyond this length a native copy beats a loop. */
const NATIVE_COPY_BYTES = 96;

export const TAB = 0x09;
export const NEWLINE = 0x0a;
const BACKSLASH = 0x5c;
const CAPITAL_N = 0x4e;
/** Negative: the value is refused, and what was written is to be taken back. */
export const REFUSED = -1;

/** What follows the backslash for a byte that COPY text escapes; 255 for U+0000, which text can't hold. */
const ESCAPES = new Uint8Array(256);
ESCAPES[0] = 255;
ESCAPES[TAB] = 0x74;
ESCAPES[NEWLINE] = 0x6e;
ESCAPES[0x0d] = 0x72;
ESCAPES[BACKSLASH] = BACKSLASH;

/** True for a byte that stands as another in COPY text, or that no text can hold. */
export function isEscapedByte(byte: number): boolean {
  return ESCAPES[byte] !== 0;
}

const HEX = Buffer.from('0123456789abcdef');

export function writeText(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  let seen = 0;
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    const escape = ESCAPES[byte]!;
    if (escape !== 0) {
      if (escape === 255) return REFUSED;
      out[at++] = BACKSLASH;
      out[at++] = escape;
    } else {
      seen |= byte;
      out[at++] = byte;
    }
  }
  return seen >= 0x80 && !isUtf8(bytes.subarray(start, end)) ? REFUSED : at;
}

export function writePlain(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  if (end - start > NATIVE_COPY_BYTES) return at + bytes.copy(out, at, start, end);
  for (let index = start; index < end; index += 1) out[at++] = bytes[index]!;
  return at;
}

export function writeHex(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    out[at++] = HEX[byte >> 4]!;
    out[at++] = HEX[byte & 15]!;
  }
  return at;
}

/** `\\x`: COPY's escape of the backslash before bytea's x. */
export function writeHexPrefix(out: Buffer, at: number): number {
  out[at] = BACKSLASH;
  out[at + 1] = BACKSLASH;
  out[at + 2] = 0x78;
  return at + 3;
}

export function writeBits(out: Buffer, at: number, bytes: Buffer, end: number, bits: number): number {
  for (let bit = bits - 1; bit >= 0; bit -= 1) out[at++] = 0x30 + ((bytes[end - 1 - (bit >> 3)]! >> (bit & 7)) & 1);
  return at;
}

export function writeNull(out: Buffer, at: number): number {
  out[at] = BACKSLASH;
  out[at + 1] = CAPITAL_N;
  return at + 2;
}

/** {@link writeText} of bytes known to be UTF-8 without U+0000: a slice may end inside a character. */
export function writeEscaped(out: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
  for (let index = start; index < end; index += 1) {
    const byte = bytes[index]!;
    const escape = ESCAPES[byte]!;
    if (escape !== 0) out[at++] = BACKSLASH;
    out[at++] = escape === 0 ? byte : escape;
  }
  return at;
}
