/** The nearest known word to one that is not known. */
import { distance } from 'fastest-levenshtein';

/** Words that people write from other tools, too far from ours to be found by spelling. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  db_type: 'kind', type: 'kind', tables: 'streams', kind: 'db_type', streams: 'tables', username: 'user', hostname: 'host', server: 'host',
  dbname: 'database', primary_key: 'key', interval: 'poll_interval', cron: 'schedule', timezone: 'time_zone', ssl: 'tls', pass: 'password', pwd: 'password',
};

/** Swapped letters are two steps, so a word of four letters may be two away. */
const stepsMax = (letters: number): number => (letters <= 3 ? 1 : Math.max(2, Math.floor(letters / 3)));

/** Null where nothing is near enough to be meant. */
export function nearest(word: string, known: readonly string[]): string | null {
  const lower = word.toLowerCase();
  const other = Object.hasOwn(OTHER_WORDS, lower) ? OTHER_WORDS[lower] : undefined;
  const rank = (each: string) => ({ each, steps: distance(lower, each.toLowerCase()), lengths: Math.abs(each.length - lower.length) });
  const ranked = known.map(rank).sort((a, b) => a.steps - b.steps || a.lengths - b.lengths);
  const best = ranked[0];
  if (best !== undefined && best.steps <= stepsMax(lower.length)) return best.each;
  return other !== undefined && known.includes(other) ? other : null;
}
