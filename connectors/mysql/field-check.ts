/** What of a source's value PostgreSQL can't hold: the code of a rejected field, or null. */
import { isUtf8 } from 'node:buffer';
import type { Encoding } from './types.ts';

/** Stable codes, as quarantine shows them. */
export type FieldCode =
  | 'zero_date' | 'invalid_date' | 'nul_character' | 'invalid_utf8'
  | 'json_invalid' | 'json_nul_character' | 'json_lone_surrogate' | 'json_number_range' | 'not_boolean';

const DAYS = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const ZERO = 0x30;

function digits(bytes: Buffer, at: number, count: number): number {
  let value = 0;
  for (let index = 0; index < count; index += 1) value = value * 10 + (bytes[at + index] ?? ZERO) - ZERO;
  return value;
}

/** A date as the server prints it, `YYYY-MM-DD...`. Partial dates (`2024-00-00`) count as zero dates. */
export function dateFault(bytes: Buffer, at: number): FieldCode | null {
  const year = digits(bytes, at, 4);
  const month = digits(bytes, at + 5, 2);
  const day = digits(bytes, at + 8, 2);
  if (year === 0 || month === 0 || day === 0) return 'zero_date';
  if (day <= 28) return month <= 12 ? null : 'invalid_date';
  const leap = (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
  const last = month === 2 && !leap ? 28 : (DAYS[month - 1] ?? 0);
  return day <= last ? null : 'invalid_date';
}

/** numeric, and so jsonb, holds this many digits before and after the point. */
const NUMERIC_BEFORE = 131_072;
const NUMERIC_AFTER = 16_383;
const SUSPECT_NUMBER = /\d[eE][+-]?\d{4}|\d{10000}/;

function numberFits(source: string): boolean {
  const [mantissa = '', exponent = '0'] = source.toLowerCase().split('e');
  const [before = '', after = ''] = mantissa.split('.');
  const shift = Number(exponent);
  return before.length + shift <= NUMERIC_BEFORE && after.length - shift <= NUMERIC_AFTER;
}

function numbersFit(text: string): boolean {
  if (!SUSPECT_NUMBER.test(text)) return true;
  const bare = text.replaceAll(/"(?:[^"\\]+|\\.)*"/gs, '""');
  return (bare.match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g) ?? []).every(numberFits);
}

function escapeFault(text: string): FieldCode | null {
  if (!text.includes('\\u')) return null;
  let high = false;
  let highEnd = -1;
  for (const match of text.matchAll(/\\(?:u([0-9a-fA-F]{4})|.)/gs)) {
    const unit = match[1] === undefined ? -1 : Number.parseInt(match[1], 16);
    const isLow = unit >= 0xdc00 && unit <= 0xdfff;
    const follows = high && match.index === highEnd;
    if (unit === 0) return 'json_nul_character';
    if ((high && !(isLow && follows)) || (isLow && !follows)) return 'json_lone_surrogate';
    high = unit >= 0xd800 && unit <= 0xdbff;
    highEnd = match.index + match[0].length;
  }
  return high ? 'json_lone_surrogate' : null;
}

/** jsonb refuses U+0000, lone surrogates and numbers beyond numeric; smaller numbers than numeric holds it would round in silence. */
function jsonFault(bytes: Buffer): FieldCode | null {
  if (!isUtf8(bytes)) return 'invalid_utf8';
  const text = bytes.toString('utf8');
  try {
    JSON.parse(text);
  } catch {
    return 'json_invalid';
  }
  return escapeFault(text) ?? (numbersFit(text) ? null : 'json_number_range');
}

/** The fault of one field: bytes `[at, end)` as the server sent them. */
export function fieldFault(encoding: Encoding, bytes: Buffer, at: number, end: number): FieldCode | null {
  switch (encoding) {
    case 'date':
    case 'timestamp':
    case 'timestamptz':
      return dateFault(bytes, at);
    case 'text': {
      const value = bytes.subarray(at, end);
      if (value.includes(0)) return 'nul_character';
      return isUtf8(value) ? null : 'invalid_utf8';
    }
    case 'json':
      return jsonFault(bytes.subarray(at, end));
    case 'boolean':
      return end - at === 1 && (bytes[at] === ZERO || bytes[at] === ZERO + 1) ? null : 'not_boolean';
    default:
      return null;
  }
}
