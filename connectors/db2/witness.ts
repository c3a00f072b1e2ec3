/**
 * Signs that the database is not the one that was read, and what became of the rows that were read last.
 *
 * The log of Db2 goes back with a restore and with a take-over by a standby that lagged; since a crash may also lose the end of it, which no
 * commit waited for, the rows are asked as well. Derby shows no log. Rows at the bound serve as witnesses: an index finds them, while Derby
 * walks no index backwards.
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import { hasFallen, isSuspect, otherHistory, type Fate, type Signs } from '../last-rows.ts';
import { quoteName, quoteTable } from './names.ts';
import { all, compare, where } from './range.ts';
import type { Marks, State } from './position.ts';
import type { Statement } from './reader-protocol.ts';
import { columnNamed, keyProbe } from './reads.ts';
import { texts, type Source } from './source.ts';

const WITNESSES = 8;

export async function readMarks(source: Source, stream: StreamRead): Promise<Marks> {
  const query = source.query(stream);
  return { ...(await source.dialect.serverMarks(query)), next: stream.table.kind === 'view' ? null : await source.dialect.counter(query, stream.table) };
}

/** Keys of rows that stand at the bound, the highest first. */
export async function readLast(source: Source, stream: StreamRead, cursor: Column, bound: string | null): Promise<readonly (readonly string[])[]> {
  if (bound === null || stream.key.length === 0) return [];
  const key = stream.key.map((name) => columnNamed(stream, name));
  const probe = keyProbe(source.dialect, stream, key, compare(source.dialect, cursor, '=', bound), 0, WITNESSES, 'DESC');
  const rows = await source.query(stream)(probe.sql, probe.params, WITNESSES);
  return rows.map((row) => texts(source, stream, stream.key, row));
}

async function fateOf(source: Source, stream: StreamRead, cursor: Column, bound: string, values: readonly string[]): Promise<Fate> {
  const name = quoteName(cursor.name);
  const kept = compare(source.dialect, cursor, '>=', bound);
  const same = where(all(...stream.key.map((column, at) => compare(source.dialect, columnNamed(stream, column), '=', values[at] ?? ''))));
  const [row] = await source.query(stream)(
    `SELECT COUNT(*), SUM(CASE WHEN ${kept.sql} OR ${name} IS NULL THEN 1 ELSE 0 END) FROM ${quoteTable(stream.table)}${same.sql}${source.dialect.readSuffix}`,
    [...kept.params, ...same.params],
  );
  if (Number(row?.[0] ?? 0) === 0) return 'gone';
  return Number(row?.[1] ?? 0) > 0 ? 'there' : 'back';
}

async function hasRow(source: Source, stream: StreamRead, condition: Statement): Promise<boolean> {
  const filter = where(condition);
  const rows = await source.query(stream)(`SELECT 1 FROM ${quoteTable(stream.table)}${filter.sql} FETCH FIRST 1 ROWS ONLY${source.dialect.readSuffix}`, filter.params, 1);
  return rows.length > 0;
}

/** Throws `source.history_lost`. A position of an earlier version holds none and tells nothing. */
export async function requireSameHistory(source: Source, stream: StreamRead, cursor: Column, state: State, now: Marks): Promise<void> {
  const { seen, frozen: { bound } } = state;
  if (seen === undefined || bound === null || seen.last.length === 0) return;
  const was = seen.marks;
  const logFell = hasFallen(was.log, now.log);
  const signs: Signs = {
    setBack: logFell ? 'the log has gone back' : hasFallen(was.next, now.next) ? 'its counter has gone back' : null,
    restarted: was.started !== null && now.started !== null && was.started !== now.started,
    logGrew: was.log !== null && now.log !== null && !logFell,
  };
  if (!isSuspect(signs)) return;
  const fates: Fate[] = [];
  for (const values of seen.last) fates.push(await fateOf(source, stream, cursor, bound, values));
  const filled = await hasRow(source, stream, { sql: '', params: [] });
  const endsBelow = !(await hasRow(source, stream, compare(source.dialect, cursor, '>=', bound)));
  const reason = otherHistory(signs, { fates, filled, endsBelow });
  if (reason === null) return;
  throw new TidemarkError('source.history_lost', `${stream.table.schema}.${stream.table.name}: ${reason}.`, { hint: 'Check the source. To build the stream anew: tidemark reset, then approve.' });
}
