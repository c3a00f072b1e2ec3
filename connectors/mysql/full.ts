/** Full builds: a table cut by primary key, each part read in a snapshot of its own. */
import { setTimeout } from 'node:timers/promises';
import type { BatchLimits, FullPlan, Part, RowRead, StreamRead } from '../connector.ts';
import { partRows } from '../part-rows.ts';
import { takeBounds } from './bounds.ts';
import { digestRows } from './digest.ts';
import { isoClock, readAsOf } from './incremental.ts';
import { compareOpen, readOpenTransactions } from './open-transactions.ts';
import type { ReadState } from './position-state.ts';
import { quoteTable } from './quoting.ts';
import { after, beginSnapshot, keyColumns, orderBy, selectRows, textList, upTo } from './range.ts';
import { rowsOf, type Source } from './source.ts';
import { positionOf, stateOf, tableName } from './watermark.ts';

/** From so many rows on, a plan first waits a little for open transactions: each that ends spares reading the table again. */
const WAIT_FROM_ROWS = 100_000;
const WAIT_MS = 5_000;
const WAIT_STEP_MS = 250;

async function waitForOthers(source: Source): Promise<void> {
  const { connection } = source;
  const until = Date.now() + WAIT_MS;
  const first = await readOpenTransactions(connection);
  let open = first ?? [];
  while (open.length > 0 && Date.now() < until) {
    await setTimeout(WAIT_STEP_MS);
    const now = await readOpenTransactions(connection);
    const { ended } = compareOpen(open, now ?? [], null);
    open = open.filter((each) => !ended.includes(each));
  }
}

/**
 * Of large tables the server's estimate tells well enough when about one part is left: its rows, which are the key in InnoDB, need no scan then. A
 * scan of fewer takes no time.
 */
const ESTIMATED_ROWS_MIN = 500_000;
const ONE_PART_BATCHES = 1.1;

function isLastPart(stream: StreamRead, cut: number, rowsMax: number): boolean {
  const { rowEstimate } = stream.table;
  return rowEstimate >= ESTIMATED_ROWS_MIN && rowEstimate - cut * rowsMax <= rowsMax * ONE_PART_BATCHES;
}

/** Walks the key in steps of equal size: exact parts for any distribution of keys, at the cost of one scan of the key up to the last of them. */
async function cutParts(source: Source, stream: StreamRead, limits: BatchLimits): Promise<readonly Part[]> {
  const key = keyColumns(stream);
  if (key.length === 0) return [{ from: null, to: null, rowEstimate: stream.table.rowEstimate }];
  const rowsMax = partRows(stream.table.rowEstimate, limits.rowsMax);
  const parts: Part[] = [];
  let from: readonly string[] | null = null;
  while (!isLastPart(stream, parts.length, rowsMax)) {
    const where = from === null ? 'TRUE' : after(key, from);
    const [end] = await source.connection.query(
      `SELECT ${textList(key)} FROM ${quoteTable(stream.table)} WHERE ${where} ${orderBy(key)} LIMIT 1 OFFSET ${rowsMax - 1}`,
      tableName(stream),
    );
    const to: readonly string[] | null = end === undefined ? null : end.map((value) => value ?? '');
    parts.push({ from, to, rowEstimate: rowsMax });
    if (to === null) return parts;
    from = to;
  }
  return [...parts, { from, to: null, rowEstimate: rowsMax }];
}

const NO_CURSOR: Omit<ReadState, 'key' | 'tail'> = {
  version: 1, cursor: null, made: null, history: [], open: [], lower: null, bound: null, run: null, last: [],
};

export async function planFull(source: Source, stream: StreamRead, limits: BatchLimits): Promise<FullPlan> {
  const { connection } = source;
  const ground = await source.ground(stream.table);
  if (stream.cursor === null) {
    await beginSnapshot(connection, tableName(stream));
    const asOf = await readAsOf(connection);
    const digest = await digestRows(connection, stream, ['TRUE']);
    const state: ReadState = { ...NO_CURSOR, key: [...stream.key], tail: { from: null, partial: false, max: null, digest } };
    const parts = await cutParts(source, stream, limits);
    await connection.query('COMMIT', tableName(stream));
    return { parts, position: positionOf(await source.identity(), stream, state, null), guarantee: 'full refresh', asOf };
  }
  if (stream.table.rowEstimate >= WAIT_FROM_ROWS && ground.sight.transactions) await waitForOthers(source);
  const bounds = await takeBounds(connection, ground, stream, null);
  const state = await stateOf(connection, stream, bounds, null);
  const parts = await cutParts(source, stream, limits);
  await connection.query('COMMIT', tableName(stream));
  return { parts, position: positionOf(await source.identity(), stream, state, state.bound), guarantee: bounds.guarantee, asOf: isoClock(bounds.clock) };
}

export async function readPart(source: Source, stream: StreamRead, part: Part, onReject: 'mark' | 'fail'): Promise<RowRead> {
  const key = keyColumns(stream);
  const conditions = [
    ...(part.from === null ? [] : [after(key, part.from)]),
    ...(part.to === null ? [] : [upTo(key, part.to)]),
  ];
  await beginSnapshot(source.connection, tableName(stream));
  return rowsOf(source, stream, [selectRows(stream, conditions.length === 0 ? 'TRUE' : conditions.map((each) => `(${each})`).join(' AND '))], onReject === 'mark');
}
