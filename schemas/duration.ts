/**
 * Durations as people write them: `30s`, `5m`, `1h 30m`, `24h`, `1d`, `2 weeks`, `7 years`, or a plain whole number of seconds.
 *
 * As a length of time a month counts 30 days and a year 365. Where the calendar matters (retention) a period is kept as
 * `7 years` and counted by the database: {@link parsePeriod}.
 */

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  s: 1, sec: 1, second: 1,
  m: MINUTE, min: MINUTE, minute: MINUTE,
  h: HOUR, hour: HOUR,
  d: DAY, day: DAY,
  w: 7 * DAY, week: 7 * DAY,
  month: 30 * DAY,
  y: 365 * DAY, year: 365 * DAY,
};

/** Longer than any bank keeps anything, and far from where seconds stop being exact. */
const DURATION_SECONDS_MAX = 1000 * 365 * DAY;

const PERIOD_UNITS: Readonly<Record<string, string>> = { d: 'days', day: 'days', w: 'weeks', week: 'weeks', month: 'months', y: 'years', year: 'years' };

const singular = (unit: string): string => (unit.length > 1 ? unit.toLowerCase().replace(/s$/, '') : unit.toLowerCase());

/** A pattern for editors; {@link parseDuration} decides. */
export const DURATION_PATTERN = /^\s*(\d+|(\d+\s*[A-Za-z]+\s*)+)\s*$/;

/** Whole seconds, or null where the text is no duration. */
export function parseDuration(text: string): number | null {
  if (!DURATION_PATTERN.test(text)) return null;
  const parts = [...text.matchAll(/(\d+)\s*([A-Za-z]*)/g)];
  let seconds = 0;
  for (const [, amount, unit] of parts) {
    const factor = unit === '' ? 1 : UNIT_SECONDS[singular(unit ?? '')];
    if (factor === undefined) return null;
    seconds += Number(amount) * factor;
  }
  return seconds <= DURATION_SECONDS_MAX ? seconds : null;
}

/** A calendar period as PostgreSQL's `interval` reads it (`7 years`, `18 months`), or null where the text is none. */
export function parsePeriod(text: string): string | null {
  const match = /^\s*(\d{1,4})\s*([A-Za-z]+)\s*$/.exec(text);
  const unit = match?.[2] === undefined ? undefined : PERIOD_UNITS[singular(match[2])];
  return unit === undefined || Number(match?.[1]) === 0 ? null : `${Number(match?.[1])} ${unit}`;
}

/** Seconds as one whole unit: `30s`, `5m`, `2h`, `1d`. */
export function formatDuration(seconds: number): string {
  const units: readonly (readonly [number, string])[] = [[DAY, 'd'], [HOUR, 'h'], [MINUTE, 'm']];
  const fitting = units.find(([size]) => seconds > 0 && seconds % size === 0);
  return fitting === undefined ? `${seconds}s` : `${seconds / fitting[0]}${fitting[1]}`;
}
