/** From the driver's value to the text that PostgreSQL reads, or the reason why the target's type cannot hold it. */
import { textDefect } from '../copy-text.ts';
import type { Column } from '../../schemas/table.ts';
import { typeOf, type Kind } from './types.ts';

/** Why a value is not loaded; stands in the quarantine with the column's name. */
export type Defect = 'text.nul' | 'text.not_unicode' | 'text.undecodable' | 'number.infinite' | 'time.not_in_calendar' | 'interval.out_of_range' | 'json.not_in_jsonb' | 'value.too_large';

export interface Field {
  readonly text: string;
  readonly defect: Defect | null;
}

type Conversion = (value: string) => Field;

/** What the driver hands over for a value that is neither NULL nor a LOB. */
export type Scalar = string | number | boolean | Buffer;

const good = (text: string): Field => ({ text, defect: null });

/** What makes PostgreSQL's text of a value that is not NULL, for a column; LOBs are read before. */
export function conversionOf(column: Column): (value: Scalar) => Field {
  const { kind, pgType } = typeOf(column.nativeType);
  const convert = (pgType === 'text' ? KEPT_AS_TEXT[kind] : CONVERSIONS[kind]) ?? plainText;
  return (value) => {
    if (typeof value === 'number') return good(doubleText(value));
    if (typeof value === 'boolean') return good(value ? 't' : 'f');
    if (Buffer.isBuffer(value)) return good(`\\x${value.toString('hex')}`);
    return convert(value);
  };
}

/** A double with its sign, where JavaScript would drop that of zero. */
function doubleText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** The driver writes U+FFFD where the server sent bytes that are no text; it cannot be told from a U+FFFD that was stored. */
export function textDefectOf(text: string): Defect | null {
  return textDefect(text) ?? (text.includes('\uFFFD') ? 'text.undecodable' : null);
}

function plainText(text: string): Field {
  return { text, defect: textDefectOf(text) };
}

/** More digits before the point than a finite NUMBER has: the driver's text of Oracle's infinities. */
const WHOLE_DIGITS_MAX = 126;

function numberText(text: string): Field {
  const digits = text.startsWith('-') ? text.slice(1) : text;
  const point = digits.indexOf('.');
  if (digits.includes('e') || (point < 0 ? digits.length : point) > WHOLE_DIGITS_MAX) return { text, defect: 'number.infinite' };
  return good(point === 0 ? `${text.startsWith('-') ? '-' : ''}0${digits}` : text);
}

const MOMENT = /^([ -])(\d{4})-(\d\d)-(\d\d)( .*)$/;

/** `-4712-01-01 00:00:00` is 4712 BC. Days that only the Julian calendar has are refused; all others keep their date. */
const moment = (zone: string): Conversion => (text) => {
  const match = MOMENT.exec(text);
  if (match === null) return { text, defect: 'time.not_in_calendar' };
  const [, sign, year = '', month = '', day = '', time = ''] = match;
  const astronomical = sign === '-' ? 1 - Number(year) : Number(year);
  const exists = year !== '0000' && !(month === '02' && day === '29' && !isLeapYear(astronomical));
  return { text: `${year}-${month}-${day}${time}${zone}${sign === '-' ? ' BC' : ''}`, defect: exists ? null : 'time.not_in_calendar' };
};

function isLeapYear(year: number): boolean {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;
}

/** PostgreSQL counts months in 32 bits. */
const INTERVAL_YEARS_MAX = 178_956_969;

function yearsToMonths(text: string): Field {
  const match = /^([+-])(\d+)-(\d+)$/.exec(text.trim());
  if (match === null || Number(match[2]) > INTERVAL_YEARS_MAX) return { text, defect: 'interval.out_of_range' };
  const [, sign, years, months] = match;
  return good(`${sign}${Number(years)} years ${sign}${Number(months)} mons`);
}

/** The sign stands before the days only, but holds for the time too. */
function daysToSeconds(text: string): Field {
  const match = /^([+-])(\d+) (\d\d:\d\d:\d\d(?:\.\d+)?)$/.exec(text.trim());
  if (match === null) return { text, defect: 'interval.out_of_range' };
  const [, sign, days, time] = match;
  return good(`${sign}${Number(days)} days ${sign}${time}`);
}

/** jsonb holds no U+0000 and no half of a surrogate pair, escaped or not. */
function jsonText(text: string): Field {
  const field = plainText(text);
  return field.defect === null && hasRefusedEscape(text) ? { text, defect: 'json.not_in_jsonb' } : field;
}

/** Escapes in turn, a whole surrogate pair as one; a backslash that is itself escaped starts none. */
const ESCAPES = /\\(u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)/gs;

function hasRefusedEscape(text: string): boolean {
  if (!text.includes('\\u')) return false;
  for (const [, escape = ''] of text.matchAll(ESCAPES)) if (/^u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2})$/.test(escape)) return true;
  return false;
}

/** Values finer than PostgreSQL's types; local time zones were read in UTC. */
const KEPT_AS_TEXT: Partial<Record<Kind, Conversion>> = {
  timestamp: (text) => good(text.trim()),
  timestamptz: (text) => good(text.trim()),
  timestampltz: (text) => good(`${text.trim()} +00:00`),
  ds: (text) => good(text.trim()),
};

const hexBytes: Conversion = (text) => good(`\\x${text.toLowerCase()}`);

const CONVERSIONS: Partial<Record<Kind, Conversion>> = {
  number: numberText,
  date: moment(''),
  timestamp: moment(''),
  timestamptz: moment('+00'),
  timestampltz: moment('+00'),
  ym: yearsToMonths,
  ds: daysToSeconds,
  blob: hexBytes,
  json: jsonText,
};
