/**
 * One text for one value, whatever the source and its type: what is hashed, so that equal values of different sources join.
 * `42`, `42.0` and `42.00` are one; the blanks that pad char(n), zeros at the end of a fraction of a second, and `+00:00` for `+00` fall away.
 * Text itself is never changed: two different texts stay different.
 */
export type ValueFamily = 'number' | 'padded' | 'time' | 'text';

const DOT = 0x2e;
const ZERO = 0x30;
const MINUS = 0x2d;
const BLANK = 0x20;

/** `pgType` as `format_type` prints it. */
export function familyOf(pgType: string): ValueFamily {
  if (/^(smallint|integer|bigint|numeric|real|double precision)\b/.test(pgType)) return 'number';
  if (/^(character\(|character$|char\(|bpchar)/.test(pgType)) return 'padded';
  return /^time/.test(pgType) ? 'time' : 'text';
}

export function canonicalText(value: Buffer, family: ValueFamily): Buffer {
  if (family === 'text') return value;
  if (family === 'padded') return withoutTrailing(value, BLANK);
  return family === 'number' ? canonicalNumber(value) : canonicalTime(value);
}

function canonicalNumber(value: Buffer): Buffer {
  // An exponent (1e+20) is a float's own shortest text; its zeros count.
  if (value.includes(0x65) || value.includes(0x45)) return value;
  const dot = value.indexOf(DOT);
  let number = value;
  if (dot >= 0) {
    number = withoutTrailing(value, ZERO);
    if (number.length === dot + 1) number = number.subarray(0, dot);
  }
  return number.length === 2 && number[0] === MINUS && number[1] === ZERO ? number.subarray(1) : number;
}

function canonicalTime(value: Buffer): Buffer {
  if (!value.includes(DOT) && !value.includes(':00', value.length - 3)) return value;
  const text = value.toString('latin1').replace(/([+-]\d\d):00$/, '$1');
  return Buffer.from(text.replace(/(\.\d*?)0+(?=\D|$)/, '$1').replace(/\.(?=\D|$)/, ''), 'latin1');
}

function withoutTrailing(value: Buffer, byte: number): Buffer {
  let end = value.length;
  while (end > 0 && value[end - 1] === byte) end -= 1;
  return end === value.length ? value : value.subarray(0, end);
}
