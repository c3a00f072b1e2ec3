/** Fields of COPY's text format (PostgreSQL manual, COPY, "Text Format"). */
const BACKSLASH = 0x5c;
const ESCAPED: Readonly<Record<number, number>> = { 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9, 0x76: 11 };

/** True for `\N`. */
export function isNull(row: Buffer, from: number, to: number): boolean {
  return to - from === 2 && row[from] === BACKSLASH && row[from + 1] === 0x4e;
}

/** True where the field's bytes are not the value's own. */
export function isEscaped(row: Buffer, from: number, to: number): boolean {
  for (let index = from; index < to; index += 1) if (row[index] === BACKSLASH) return true;
  return false;
}

/** The value's own bytes; a view of `row` where nothing is escaped. */
export function fieldValue(row: Buffer, from: number, to: number): Buffer {
  const field = row.subarray(from, to);
  return field.includes(BACKSLASH) ? unescape(field) : field;
}

function unescape(field: Buffer): Buffer {
  const value = Buffer.allocUnsafe(field.length);
  let at = 0;
  for (let index = 0; index < field.length; index += 1) {
    let byte = field[index]!;
    if (byte === BACKSLASH && index + 1 < field.length) {
      index += 1;
      const code = field[index]!;
      const number = /^(?:x([0-9A-Fa-f]{1,2})|([0-7]{1,3}))/.exec(field.toString('latin1', index, index + 3));
      byte = number === null ? (ESCAPED[code] ?? code) : Number.parseInt(number[1] ?? number[2]!, number[1] === undefined ? 8 : 16) & 0xff;
      if (number !== null) index += number[0].length - 1;
    }
    value[at++] = byte;
  }
  return value.subarray(0, at);
}

/** A text as a field: backslash, tab and line ends escaped. */
export function escapeField(text: string): string {
  return text.replace(/[\\\t\n\r]/g, (character) => `\\${{ '\\': '\\', '\t': 't', '\n': 'n', '\r': 'r' }[character] ?? ''}`);
}
