/**
 * Incremental reads. Db2 gives readers no snapshot, so the order of the questions makes the promise: the bound is frozen, then the
 * open transactions are asked for, then the rows are read. A transaction that commits in between is read; one that is still open is
 * known, and the next run reaches back to the bound that was held before it began; one that begins later writes cursors
 * beyond the bound. Rows are read with cursor stability, never uncommitted. See hazards W01, W24 and X16.
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Guarantee, Position } from '../../schemas/position.ts';
import type { Column } from '../../schemas/table.ts';
import type { BatchLimits, IncrementalRead, StreamRead } from '../connector.ts';
import { cellText } from './dialect.ts';
import { quoteName, quoteTable } from './names.ts';
import { lowerBound, moveClock, readState, tailDigest, withHeld, type Frozen, type Seen, type State } from './position.ts';
import { after, all, compare, NO_CONDITION, upTo, where, type OrderedColumn } from './range.ts';
import type { Statement } from './reader-protocol.ts';
import { columnNamed, keyProbe, readRequest } from './reads.ts';
import { isoTimestamp, valueText } from './row-line.ts';
import { positionOf, tableIdentity, texts, utc, type Source } from './source.ts';
import { readLast, readMarks, requireSameHistory } from './witness.ts';

/** Rows at the end of the stream that a poll compares one by one; with more of them it can't promise that nothing is new. */
const TAIL_ROWS_MAX = 5_000;

function cursorOf(stream: StreamRead): Column {
  if (stream.cursor === null) throw new TidemarkError('source.cursor_missing', `${stream.table.name} is read without a cursor.`);
  const column = columnNamed(stream, stream.cursor);
  if (column.order !== 'none') return column;
  throw new TidemarkError('source.cursor_unusable', `Column ${column.name} of ${stream.table.name} has no order that tells what is new.`, {
    hint: 'Choose a column of a date, timestamp or number type.',
  });
}

/** The keyset order: cursor, then key. */
function orderOf(stream: StreamRead): readonly OrderedColumn[] {
  const names = [cursorOf(stream).name, ...stream.key.filter((name) => name !== stream.cursor)];
  return names.map((name) => columnNamed(stream, name));
}

const isNull = (column: Column): Statement => (column.nullable ? { sql: `${quoteName(column.name)} IS NULL`, params: [] } : { sql: '1 = 0', params: [] });

function fenceOf(stream: StreamRead, cursor: Column, clock: string): string | null {
  if (cursor.order !== 'time') return null;
  const fence = moveClock(clock, stream.futureLimitSeconds);
  return cursor.nativeType === 'DATE' ? fence.slice(0, 10) : fence;
}

const within = (source: Source, cursor: Column, fence: string | null): Statement => (fence === null ? NO_CONDITION : compare(source.dialect, cursor, '<=', fence));

const beyond = (source: Source, cursor: Column, fence: string): Statement => compare(source.dialect, cursor, '>', fence);

async function greatest(source: Source, stream: StreamRead, cursor: Column, condition: Statement): Promise<string | null> {
  const read = source.dialect.valueRead({ ...cursor, name: 'BOUND' });
  const filter = where(condition);
  const [row] = await source.query(stream)(
    `SELECT ${read?.sql ?? ''} FROM (SELECT MAX(${quoteName(cursor.name)}) AS "BOUND" FROM ${quoteTable(stream.table)}${filter.sql}) AS "GREATEST"${source.dialect.readSuffix}`,
    filter.params,
  );
  const cell = row?.[0] ?? null;
  return cell === null || read === null ? null : valueText(cell, { kind: read.kind });
}

/** Of all rows. Derby finds the end of an index at once where it is asked without a condition, and looks through all of it where there is one. */
async function greatestWithin(source: Source, stream: StreamRead, cursor: Column, fence: string | null): Promise<string | null> {
  const top = await greatest(source, stream, cursor, NO_CONDITION);
  return fence === null || top === null || top <= fence ? top : greatest(source, stream, cursor, within(source, cursor, fence));
}

/** The rows that the next run reads at once, as conditions: from its lower bound on, and those without a cursor. */
function tailConditions(source: Source, cursor: Column, lower: string | null): readonly Statement[] {
  const from = lower === null ? { sql: `${quoteName(cursor.name)} IS NOT NULL`, params: [] } : compare(source.dialect, cursor, '>=', lower);
  return cursor.nullable ? [from, isNull(cursor)] : [from];
}

async function tailOf(source: Source, stream: StreamRead, cursor: Column, lower: string | null): Promise<string | null> {
  const read = readRequest(source.dialect, stream, tailConditions(source, cursor, lower), [], TAIL_ROWS_MAX + 1);
  const { rows, digest } = await source.digest(stream, read);
  return rows > TAIL_ROWS_MAX ? null : tailDigest(rows, digest);
}

/** Freezes a run's bound, and only then asks for open transactions. The bound never falls below `least`. */
async function freeze(source: Source, stream: StreamRead, least: string | null): Promise<Frozen> {
  const cursor = cursorOf(stream);
  const [now] = await source.query(stream)(source.dialect.clockSql);
  const clock = isoTimestamp(cellText(now?.[0]));
  const fence = fenceOf(stream, cursor, clock);
  const bound = least === null
    ? await greatestWithin(source, stream, cursor, fence)
    : ((await greatest(source, stream, cursor, all(compare(source.dialect, cursor, '>=', least), within(source, cursor, fence)))) ?? least);
  return { bound, clock, fence, open: await source.dialect.openTransactions(source.query(stream)), tail: null };
}

/** The state after a whole run that had frozen `frozen`. */
async function completeState(source: Source, stream: StreamRead, frozen: Frozen, before: State | null, seen: Seen | undefined): Promise<State> {
  const history = withHeld(before?.history ?? [], frozen);
  const cursor = cursorOf(stream);
  const state: State = { version: 1, cursor: stream.cursor, frozen, overlapSeconds: stream.overlapSeconds, history, run: null, ...(seen === undefined ? {} : { seen }) };
  return { ...state, frozen: { ...frozen, tail: await tailOf(source, stream, cursor, lowerBound(state, cursor.order)) } };
}

function guaranteeOf(stream: StreamRead, frozen: Frozen): Guarantee {
  return frozen.open === null ? `within ${stream.overlapSeconds}s` : 'exact';
}

async function futureRows(source: Source, stream: StreamRead, cursor: Column, fence: string | null): Promise<number> {
  if (fence === null) return 0;
  const condition = where(beyond(source, cursor, fence));
  const [row] = await source.query(stream)(`SELECT COUNT(*) FROM ${quoteTable(stream.table)}${condition.sql}${source.dialect.readSuffix}`, condition.params);
  return Number(row?.[0] ?? 0);
}

interface Batch {
  readonly conditions: readonly Statement[];
  /** Cursor and key of the last row; null: the bound is reached. */
  readonly end: readonly string[] | null;
}

async function nextBatch(source: Source, stream: StreamRead, run: NonNullable<State['run']>, isFirst: boolean, limits: BatchLimits): Promise<Batch> {
  const cursor = cursorOf(stream);
  const order = orderOf(stream);
  const { bound, fence } = run.frozen;
  const start = isFirst ? (run.lower === null ? NO_CONDITION : compare(source.dialect, cursor, '>=', run.lower)) : after(source.dialect, order, run.after);
  const rest: readonly Statement[] = isFirst ? [...(cursor.nullable ? [isNull(cursor)] : []), ...(fence === null ? [] : [beyond(source, cursor, fence)])] : [];
  if (bound === null) return { conditions: rest.length === 0 ? [{ sql: '1 = 0', params: [] }] : rest, end: null };
  const range = all(start, compare(source.dialect, cursor, '<=', bound));
  const probe = keyProbe(source.dialect, stream, order, range, limits.rowsMax - 1, 2);
  const found = await source.query(stream)(probe.sql, probe.params, 2);
  const names = order.map(({ name }) => name);
  const last = found[0];
  if (found.length < 2 || last === undefined) return { conditions: [range, ...rest], end: null };
  const end = texts(source, stream, names, last);
  return { conditions: [all(start, upTo(source.dialect, order, end)), ...rest], end };
}

/** See `SourceSession.readFrom`. */
export async function readFrom(source: Source, stream: StreamRead, position: Position | null, limits: BatchLimits): Promise<IncrementalRead> {
  const cursor = cursorOf(stream);
  const before = position === null ? null : readState(position, source.identity, tableIdentity(stream.table), stream.cursor);
  const under = before?.run ?? null;
  const marks = under === null ? await readMarks(source, stream) : null;
  if (before !== null && marks !== null) await requireSameHistory(source, stream, cursor, before, marks);
  const frozen = under?.frozen ?? (await freeze(source, stream, before?.frozen.bound ?? null));
  const seen = marks === null ? under?.seen : { marks, last: await readLast(source, stream, cursor, frozen.bound) };
  const lower = under?.lower ?? (before === null ? null : lowerBound(before, cursor.order));
  const run = under ?? { lower, after: [], frozen };
  const { conditions, end } = await nextBatch(source, stream, run, under === null, limits);
  const to =
    end === null
      ? positionOf(source, stream, frozen.bound, await completeState(source, stream, frozen, before, seen))
      : positionOf(source, stream, end[0] ?? null, { ...(before ?? emptyState(stream, frozen)), run: { lower, after: end, frozen, ...(seen === undefined ? {} : { seen }) } });
  const future = under === null ? await futureRows(source, stream, cursor, frozen.fence) : 0;
  const rows = await source.read(stream, readRequest(source.dialect, stream, conditions, orderOf(stream)));
  return {
    format: 'copy-text',
    marksRejects: true,
    stream: rows,
    rowsRead: () => rows.rowsRead(),
    to,
    more: end !== null,
    guarantee: guaranteeOf(stream, frozen),
    futureRows: future,
    asOf: utc(source, frozen.clock),
  };
}

/** Before a first run has ended nothing is held. */
function emptyState(stream: StreamRead, frozen: Frozen): State {
  return { version: 1, cursor: stream.cursor, frozen: { ...frozen, bound: null, tail: null }, overlapSeconds: stream.overlapSeconds, history: [], run: null };
}

/** See `SourceSession.poll`: compares the rows that the next run would read with those that the last one saw. */
export async function poll(source: Source, stream: StreamRead, position: Position): Promise<boolean> {
  const state = readState(position, source.identity, tableIdentity(stream.table), stream.cursor);
  if (stream.cursor === null || state.run !== null || state.frozen.tail === null) return true;
  const cursor = cursorOf(stream);
  return (await tailOf(source, stream, cursor, lowerBound(state, cursor.order))) !== state.frozen.tail;
}

/** The position that a full build of the table makes complete, frozen before any part is read. */
export async function fullPosition(source: Source, stream: StreamRead): Promise<{ position: Position; guarantee: Guarantee; asOf: string }> {
  if (stream.cursor === null) {
    const [now] = await source.query(stream)(source.dialect.clockSql);
    const clock = isoTimestamp(cellText(now?.[0]));
    const frozen: Frozen = { bound: null, clock, fence: null, open: null, tail: null };
    const state: State = { version: 1, cursor: null, frozen, overlapSeconds: stream.overlapSeconds, history: [], run: null };
    return { position: positionOf(source, stream, null, state), guarantee: 'full refresh', asOf: utc(source, clock) };
  }
  const marks = await readMarks(source, stream);
  const frozen = await freeze(source, stream, null);
  const last = await readLast(source, stream, cursorOf(stream), frozen.bound);
  const state = await completeState(source, stream, frozen, null, { marks, last });
  return { position: positionOf(source, stream, frozen.bound, state), guarantee: guaranteeOf(stream, frozen), asOf: utc(source, frozen.clock) };
}
