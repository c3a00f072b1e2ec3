/** The reads of a session: the next batch, the parts of a whole table, and the question whether there is anything to read. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Part, Position } from '../../schemas/position.ts';
import type { BatchLimits, FullPlan, IncrementalRead, RowRead, StreamRead } from '../connector.ts';
import type { OracleClient } from './client.ts';
import { clock } from './clock.ts';
import { ALIAS, columnOf, displayOf, isOrderable, orderColumn, ROW_SCN, type OrderColumn } from './columns.ts';
import { makePosition, stateOf, type OracleState } from './position.ts';
import { projectionOf, readRows } from './rows.ts';
import type { OracleServer } from './server.ts';
import { Binds, type Statement } from './binds.ts';
import type { Snapshot, Snapshots } from './snapshot.ts';
import { beyond, from, fromAt, upTo, where, type Point } from './statement.ts';
import { closedInterval, cursorOf, highTide, lowTide, type LowTide } from './tide.ts';
import { refusalOf } from './types.ts';

const tableName = (stream: StreamRead): string => `table ${stream.table.schema}.${stream.table.name}`;

/** Throws where a column that is to be read has no faithful place, naming it. */
function assertReadable(stream: StreamRead): void {
  const refused = stream.columns.flatMap((name) => {
    const reason = refusalOf(columnOf(stream.table, name).nativeType, stream.types);
    return reason === null ? [] : [`${name}: ${reason}`];
  });
  if (refused.length === 0) return;
  throw new TidemarkError('source.type_unsupported', `${tableName(stream)} has columns that can't be read exactly: ${refused.join('; ')}.`, { hint: 'Leave them out with columns: { exclude: [...] }.' });
}

function keyset(stream: StreamRead, cursor: OrderColumn): readonly OrderColumn[] {
  if (stream.key.length === 0) throw new TidemarkError('source.key_missing', `${tableName(stream)} has no key to page by.`, { hint: 'Name its key with key: [...], or sync it without a cursor.' });
  return [cursor, ...stream.key.filter((name) => name !== cursor.name).map((name) => orderColumn(stream.table, name))];
}

/** A run's frozen begin and end, and the position inside it. */
interface Run {
  readonly state: OracleState;
  /** Inclusive; null: from the first row. Only the first batch has it. */
  readonly begin: string | null;
  readonly after: Point | null;
  readonly fence: string | null;
  readonly futureRows: number;
  readonly asOf: string;
}

/** See {@link SourceSession.readFrom}. */
export async function readBatch(client: OracleClient, server: OracleServer, snapshots: Snapshots, stream: StreamRead, position: Position | null, limits: BatchLimits): Promise<IncrementalRead> {
  const cursor = cursorOf(stream);
  if (cursor === null) throw new TidemarkError('source.cursor_missing', `${tableName(stream)} has no cursor.`);
  assertReadable(stream);
  await client.endSnapshot();
  const before = position === null ? null : stateOf(position, await server.identity(), stream.table);
  const tide = before?.at === undefined ? await lowTide(client, server, stream, before) : null;
  const snapshot = await snapshots.take(stream);
  const run = tide === null ? await goOn(client, snapshot, before as OracleState) : await begin(client, snapshot, stream, cursor, tide, before);
  const columns = keyset(stream, cursor);
  const at = cursor.name === ROW_SCN || run.state.bound === null ? null : await batchEnd(client, snapshot, stream, columns, run, limits);
  const statements = batchStatements(snapshot, stream, columns, run, at);
  const rows = readRows(client, projectionOf(stream), statements, tableName(stream));
  const { at: _passed, ...complete } = run.state;
  const state: OracleState = at === null ? complete : { ...complete, at: [...at] };
  const display = run.state.bound === null ? null : displayOf(cursor.kind, at?.[0] ?? run.state.bound);
  const to = tide === null ? { ...(position as Position), display, state } : makePosition(tide.identity, stream.table, display, state);
  const blind = await server.blindness();
  return { ...rows, to, more: at !== null, guarantee: blind === null || cursor.name === ROW_SCN ? 'exact' : `within ${stream.overlapSeconds}s`, futureRows: run.futureRows, asOf: run.asOf };
}

/** The first batch of a run: freezes its bound in the snapshot that the rows come from. */
async function begin(client: OracleClient, snapshot: Snapshot, stream: StreamRead, cursor: OrderColumn, tide: LowTide, before: OracleState | null): Promise<Run> {
  const lower = before?.lower ?? null;
  const high = await highTide(client, snapshot, stream, cursor, lower, tide.fence);
  const bound = cursor.name === ROW_SCN ? tide.identity.scn : (high.bound ?? before?.bound ?? null);
  return { state: stateAfter(tide, bound), begin: lower, after: null, fence: tide.fence, futureRows: high.futureRows, asOf: high.asOf };
}

function stateAfter(tide: LowTide, bound: string | null): OracleState {
  const { scn, resetlogs } = tide.identity;
  return { v: 1, scn, resetlogs, bound, lower: tide.lower, trail: [...tide.trail] };
}

/** A later batch: the bound stays, the snapshot is a new one. NULL cursors and future rows were read by the first. */
async function goOn(client: OracleClient, snapshot: Snapshot, state: OracleState): Promise<Run> {
  return { state, begin: null, after: state.at ?? null, fence: null, futureRows: 0, asOf: snapshot.asOf ?? (await clock(client)) };
}

/** Conditions of the run's rows that lie in the range of cursor values: from its begin, or beyond its last batch, to its bound. */
function rangeConditions(binds: Binds, columns: readonly OrderColumn[], run: Run): readonly (string | null)[] {
  const cursor = columns[0] as OrderColumn;
  if (run.after !== null) return [beyond(binds, columns, run.after), ...closedInterval(binds, cursor, null, run.state.bound)];
  return closedInterval(binds, cursor, run.begin, cursor.name === ROW_SCN ? null : run.state.bound);
}

/** Cursor and key of the last row that this batch may hold; null where all that is left fits. */
async function batchEnd(client: OracleClient, snapshot: Snapshot, stream: StreamRead, columns: readonly OrderColumn[], run: Run, limits: BatchLimits): Promise<Point | null> {
  const binds = new Binds();
  const texts = columns.map((column) => column.text(column.compared)).join(', ');
  const order = columns.map((column) => column.compared).join(', ');
  // A second row tells that another batch is needed.
  const sql = `SELECT ${texts} ${fromAt(binds, stream.table, snapshot)}${where(rangeConditions(binds, columns, run))} ORDER BY ${order} OFFSET ${limits.rowsMax - 1} ROWS FETCH NEXT 2 ROWS ONLY`;
  const rows = await client.rows(binds.statement(sql), tableName(stream));
  return rows.length < 2 ? null : (rows[0] ?? []).map(String);
}

function batchStatements(snapshot: Snapshot, stream: StreamRead, columns: readonly OrderColumn[], run: Run, at: Point | null): readonly Statement[] {
  const cursor = columns[0] as OrderColumn;
  const { list } = projectionOf(stream);
  const select = (make: (binds: Binds) => readonly (string | null)[]): Statement => {
    const binds = new Binds();
    return binds.statement(`SELECT ${list} ${fromAt(binds, stream.table, snapshot)}${where(make(binds))}`);
  };
  const statements: Statement[] = [];
  if (run.state.bound !== null) statements.push(select((binds) => [...rangeConditions(binds, columns, run), at === null ? null : upTo(binds, columns, at)]));
  if (run.after !== null) return statements;
  if (cursor.nullable) statements.push(select(() => [`${cursor.compared} IS NULL`]));
  if (run.futureRows > 0 && run.fence !== null) statements.push(select((binds) => [`${cursor.compared} > ${cursor.bound(binds, run.fence as string)}`]));
  return statements;
}

/** See {@link SourceSession.planFull}. */
export async function planParts(client: OracleClient, server: OracleServer, snapshots: Snapshots, stream: StreamRead, limits: BatchLimits): Promise<FullPlan> {
  assertReadable(stream);
  await client.endSnapshot();
  const cursor = cursorOf(stream);
  const tide = await lowTide(client, server, stream, null);
  const snapshot = await snapshots.take(stream);
  const high = cursor === null ? null : await highTide(client, snapshot, stream, cursor, null, tide.fence);
  const bound = cursor?.name === ROW_SCN ? tide.identity.scn : (high?.bound ?? null);
  const rows = cursor === null ? await countRows(client, snapshot, stream) : null;
  const state: OracleState = { ...stateAfter(tide, bound), ...(rows === null ? {} : { rows }) };
  const parts = await cut(client, snapshot, stream, limits);
  const display = bound === null || cursor === null ? null : displayOf(cursor.kind, bound);
  return { parts, position: makePosition(tide.identity, stream.table, display, state), guarantee: tide.guarantee, asOf: high?.asOf ?? snapshot.asOf ?? (await clock(client)) };
}

async function countRows(client: OracleClient, snapshot: Snapshot, stream: StreamRead): Promise<string> {
  const binds = new Binds();
  const [rows = null] = await client.texts(binds.statement(`SELECT TO_CHAR(COUNT(*)) ${fromAt(binds, stream.table, snapshot)}`), tableName(stream));
  return rows ?? '0';
}

/** Every `rowsMax`-th key, in the order of the key: one pass over its index. */
async function cut(client: OracleClient, snapshot: Snapshot, stream: StreamRead, limits: BatchLimits): Promise<readonly Part[]> {
  const pageable = stream.key.length > 0 && stream.key.every((name) => isOrderable(columnOf(stream.table, name).nativeType));
  if (!pageable) return [{ from: null, to: null, rowEstimate: stream.table.rowEstimate }];
  const columns = stream.key.map((name) => orderColumn(stream.table, name));
  const texts = columns.map((column, index) => `${column.text(column.compared)} AS k${index}`).join(', ');
  const order = columns.map((column) => column.compared).join(', ');
  const binds = new Binds();
  const numbered = `SELECT ${texts}, ROW_NUMBER() OVER (ORDER BY ${order}) AS n ${fromAt(binds, stream.table, snapshot)}`;
  const keys = columns.map((_, index) => `${ALIAS}.k${index}`).join(', ');
  const ends = await client.rows(binds.statement(`SELECT ${keys} FROM (${numbered}) ${ALIAS} WHERE MOD(${ALIAS}.n, ${limits.rowsMax}) = 0 ORDER BY ${ALIAS}.n`), tableName(stream));
  const points = ends.map((row) => row.map(String));
  return [null, ...points].map((start, index) => ({ from: start, to: points[index] ?? null, rowEstimate: limits.rowsMax }));
}

/** See {@link SourceSession.readPart}. */
export async function readPart(client: OracleClient, snapshots: Snapshots, stream: StreamRead, part: Part): Promise<RowRead> {
  assertReadable(stream);
  const columns = part.from === null && part.to === null ? [] : stream.key.map((name) => orderColumn(stream.table, name));
  const projection = projectionOf(stream);
  const snapshot = await snapshots.take(stream);
  const binds = new Binds();
  const table = fromAt(binds, stream.table, snapshot);
  const conditions = [part.from === null ? null : beyond(binds, columns, part.from), part.to === null ? null : upTo(binds, columns, part.to)];
  return readRows(client, projection, [binds.statement(`SELECT ${projection.list} ${table}${where(conditions)}`)], tableName(stream));
}

/**
 * See {@link SourceSession.poll}. ORA_ROWSCN is never below the SCN of a row's last commit: where no row at or above the next
 * run's begin exceeds the SCN before the last run's snapshot, that run has read them all. In doubt (no privilege to see the
 * SCN, a view): true.
 */
export async function mayHaveNews(client: OracleClient, server: OracleServer, stream: StreamRead, position: Position): Promise<boolean> {
  await client.endSnapshot();
  const state = stateOf(position, await server.identity(), stream.table);
  const cursor = cursorOf(stream);
  const { scn } = state;
  const answerable = scn !== null && (stream.table.kind === 'table' || stream.table.kind === 'partitioned');
  if (state.at !== undefined || !answerable) return true;
  try {
    return cursor === null ? await rowsChanged(client, stream, scn, state.rows ?? null) : await hasNewer(client, stream, cursor, scn, state.lower);
  } catch (error) {
    // Some tables (external ones, say) have no ORA_ROWSCN; whatever else is wrong the read will tell.
    if (error instanceof TidemarkError && error.retry === 'permanent') return true;
    throw error;
  }
}

async function hasNewer(client: OracleClient, stream: StreamRead, cursor: OrderColumn, scn: string, lower: string | null): Promise<boolean> {
  const newer = async (make: (binds: Binds) => readonly (string | null)[]): Promise<boolean> => {
    const binds = new Binds();
    const conditions = [...make(binds), `${ALIAS}.${ROW_SCN} > TO_NUMBER(${binds.add(scn)})`];
    const rows = await client.rows(binds.statement(`SELECT 1 ${from(stream.table)}${where(conditions)} FETCH FIRST 1 ROWS ONLY`), tableName(stream));
    return rows.length > 0;
  };
  return (await newer((binds) => closedInterval(binds, cursor, lower, null))) || (cursor.nullable && (await newer(() => [`${cursor.compared} IS NULL`])));
}

/** Without a cursor deletes count too: they change the number of rows, or come with an insert that has a newer SCN. */
async function rowsChanged(client: OracleClient, stream: StreamRead, scn: string, before: string | null): Promise<boolean> {
  const [rows = null, newest = null] = await client.texts(new Binds().statement(`SELECT TO_CHAR(COUNT(*)), TO_CHAR(MAX(${ALIAS}.${ROW_SCN})) ${from(stream.table)}`), tableName(stream));
  return rows !== before || (newest !== null && BigInt(newest) > BigInt(scn));
}
