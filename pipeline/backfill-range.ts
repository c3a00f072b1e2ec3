/**
 * Ranges of cursor values: how a person writes them, how they are cut into slices, and which of them the ledger proves. Values are counted in
 * whole units (picoseconds, or the number's last digit), as big integers: nothing is rounded.
 */
import { parseDuration } from '../schemas/duration.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Column } from '../schemas/table.ts';

/** More slices than this tell of a slip in the bounds or in the length of a slice. */
export const SLICES_MAX = 10_000;

const PICOSECONDS = 10n ** 12n;
const DAY = 86_400n * PICOSECONDS;
const DEFAULT_TIME_SLICE_SECONDS = 86_400;
/** Cursor values in a slice where nobody says how many. */
const DEFAULT_NUMBER_SLICE = 100_000n;
const NUMBER_DIGITS_MAX = 60;

const TIME = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,12}))?)?)?(Z|[+-]\d\d:?\d\d)?$/;
const NUMBER = /^(-?)(\d+)(?:\.(\d+))?$/;

export interface RangeText {
  readonly from: string;
  readonly to: string;
}

/** The cursor as far as its values are written and counted. */
type Cursor = Pick<Column, 'name' | 'order' | 'pgType' | 'nativeType'>;

const isDate = (cursor: Cursor): boolean => cursor.pgType === 'date';
const isZoned = (cursor: Cursor): boolean => /with time zone|^timestamptz/.test(cursor.pgType);

function invalid(message: string, hint: string): TidemarkError {
  return new TidemarkError('usage.invalid', message, { hint });
}

/**
 * A range as the source reads it. Throws `usage.invalid` for texts that are no values of the cursor, an empty range, and `source.cursor_unusable` for
 * a cursor that is neither a time nor a number.
 */
export function parseRange(cursor: Cursor, range: RangeText): RangeText {
  const scale = scaleOf(cursor, [range.from, range.to]);
  const [from, to] = [count(cursor, range.from.trim(), scale, 'from'), count(cursor, range.to.trim(), scale, 'to')];
  if (from >= to) throw invalid('The range is empty: its begin is not before its end.', 'The begin belongs to the range, the end does not.');
  return { from: print(cursor, from, scale), to: print(cursor, to, scale) };
}

/** Cuts a range into slices of one length; the last may be shorter. Throws `usage.invalid` for a length that is none, or too many slices. */
export function cutRange(cursor: Cursor, range: RangeText, slice: string | null): RangeText[] {
  const scale = scaleOf(cursor, [range.from, range.to, ...(cursor.order === 'number' && slice !== null ? [slice] : [])]);
  const [from, to] = [count(cursor, range.from, scale, 'from'), count(cursor, range.to, scale, 'to')];
  const step = stepOf(cursor, slice, scale);
  const slices = (to - from + step - 1n) / step;
  if (slices > BigInt(SLICES_MAX)) throw invalid(`That would be ${slices} slices; at most ${SLICES_MAX} are worked through at once.`, 'Choose a longer slice with --slice.');
  return Array.from({ length: Number(slices) }, (_, n) => {
    const begin = from + BigInt(n) * step;
    return { from: print(cursor, begin, scale), to: print(cursor, begin + step < to ? begin + step : to, scale) };
  });
}

/** Which of the slices lie within the union of what is proven. A text that can't be compared with the cursor's values proves nothing. */
export function provenSlices(cursor: Cursor, slices: readonly RangeText[], built: string | null, proven: readonly RangeText[]): boolean[] {
  const texts = [...slices, ...proven].flatMap(({ from, to }) => [from, to]);
  const scale = scaleOf(cursor, texts.concat(built ?? []));
  const value = (text: string): bigint | null => {
    if (cursor.order === 'time' && text.includes('Z') !== (isZoned(cursor) && text.includes('T'))) return null;
    try {
      return count(cursor, text, scale, 'from');
    } catch {
      return null;
    }
  };
  const known = proven.flatMap(({ from, to }) => {
    const [low, high] = [value(from), value(to)];
    return low === null || high === null ? [] : [{ low, high }];
  });
  const top = built === null ? null : value(built);
  const joined = join(known, top);
  return slices.map((slice) => {
    const [from, to] = [value(slice.from), value(slice.to)];
    return from !== null && to !== null && joined.some(({ low, high }) => (low === null || low <= from) && to <= high);
  });
}

interface Interval {
  /** Null: without a begin. */
  readonly low: bigint | null;
  readonly high: bigint;
}

function join(known: readonly { readonly low: bigint; readonly high: bigint }[], top: bigint | null): Interval[] {
  const joined: Interval[] = top === null ? [] : [{ low: null, high: top }];
  for (const next of [...known].sort((a, b) => (a.low < b.low ? -1 : a.low > b.low ? 1 : 0))) {
    const last = joined.at(-1);
    if (last === undefined || next.low > last.high) joined.push(next);
    else if (next.high > last.high) joined[joined.length - 1] = { low: last.low, high: next.high };
  }
  return joined;
}

/** Digits behind the point that all of the numbers need; 0 for times. */
function scaleOf(cursor: Cursor, texts: readonly string[]): number {
  return cursor.order === 'number' ? Math.max(0, ...texts.map((text) => NUMBER.exec(text.trim())?.[3]?.length ?? 0)) : 0;
}

function count(cursor: Cursor, text: string, scale: number, which: string): bigint {
  if (cursor.order === 'time') return countTime(cursor, text, which);
  if (cursor.order === 'number') return countNumber(cursor, text, scale, which);
  throw new TidemarkError('source.cursor_unusable', `The cursor ${cursor.name} (${cursor.nativeType}) is neither a time nor a number, so no range of it can be named.`, { hint: 'Run tidemark sync --full, or name another cursor.' });
}

function countNumber(cursor: Cursor, text: string, scale: number, which: string): bigint {
  const [, sign, whole = '', fraction = ''] = NUMBER.exec(text) ?? [];
  if (whole === '' || whole.length + fraction.length > NUMBER_DIGITS_MAX) {
    throw invalid(`--${which} is no number, and the cursor ${cursor.name} is ${cursor.nativeType}.`, 'Write digits only, for example --from 1 --to 100000.');
  }
  const units = BigInt(whole + fraction.padEnd(scale, '0'));
  return sign === '-' ? -units : units;
}

function countTime(cursor: Cursor, text: string, which: string): bigint {
  const [, year, month, day, hour = '00', minute = '00', second = '00', fraction = '', zone] = TIME.exec(text) ?? [];
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  if (year === undefined || Number.isNaN(ms) || new Date(ms).getUTCDate() !== Number(day)) {
    throw invalid(`--${which} is no time, and the cursor ${cursor.name} is ${cursor.nativeType}.`, 'Write 2026-01-31 or 2026-01-31T08:00:00.');
  }
  if (zone !== undefined && !isZoned(cursor)) {
    throw invalid(`--${which} names a time zone, but the cursor ${cursor.name} (${cursor.nativeType}) has none.`, 'Write the time as the column has it, without Z or an offset.');
  }
  const units = BigInt(ms / 1_000) * PICOSECONDS + BigInt(fraction.padEnd(12, '0')) - offsetOf(zone);
  if (isDate(cursor) && units % DAY !== 0n) throw invalid(`--${which} is within a day, but the cursor ${cursor.name} is a date.`, 'Write 2026-01-31.');
  return units;
}

function offsetOf(zone: string | undefined): bigint {
  if (zone === undefined || zone === 'Z') return 0n;
  const minutes = BigInt(zone.slice(1, 3)) * 60n + BigInt(zone.slice(-2));
  return (zone.startsWith('-') ? -minutes : minutes) * 60n * PICOSECONDS;
}

function stepOf(cursor: Cursor, slice: string | null, scale: number): bigint {
  if (cursor.order === 'number') {
    const step = slice === null ? DEFAULT_NUMBER_SLICE * 10n ** BigInt(scale) : countNumber(cursor, slice.trim(), scale, 'slice');
    if (step <= 0n) throw invalid('--slice is not more than 0.', 'For a number cursor it is a length in the cursor\'s own units: --slice 10000.');
    return step;
  }
  const seconds = slice === null ? DEFAULT_TIME_SLICE_SECONDS : parseDuration(slice);
  if (seconds === null || seconds <= 0) throw invalid('--slice is no duration.', 'For a time cursor write 1h, 6h, 1d or 1w.');
  if (isDate(cursor) && seconds % DEFAULT_TIME_SLICE_SECONDS !== 0) throw invalid(`--slice is not whole days, but the cursor ${cursor.name} is a date.`, 'Write 1d, 7d or 4w.');
  return BigInt(seconds) * PICOSECONDS;
}

function print(cursor: Cursor, units: bigint, scale: number): string {
  return cursor.order === 'number' ? printNumber(units, scale) : printTime(cursor, units);
}

function printNumber(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0');
  const fraction = digits.slice(digits.length - scale);
  return `${units < 0n ? '-' : ''}${scale === 0 ? digits : `${digits.slice(0, -scale)}.${fraction}`}`;
}

function printTime(cursor: Cursor, units: bigint): string {
  const seconds = units >= 0n ? units / PICOSECONDS : -((-units + PICOSECONDS - 1n) / PICOSECONDS);
  const fraction = (units - seconds * PICOSECONDS).toString().padStart(12, '0').replace(/0+$/, '');
  const iso = new Date(Number(seconds) * 1_000).toISOString();
  return isDate(cursor) ? iso.slice(0, 10) : `${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction === '' ? '' : `.${fraction}`}`;
}
