/** Statements on the native driver: block fetches where the values allow it, row by row else. Runs in the reader's process. */
import type { Cell, NativeDatabase, NativeResult, NativeStatement } from './driver.ts';
import type { ColumnSpec, NativeError, ReadRequest, RestOfValue, Statement } from './reader-protocol.ts';

const SQL_ATTR_QUERY_TIMEOUT = 0;
const SQL_ATTR_ROW_ARRAY_SIZE = 27;
const FETCH_ARRAY = { fetchMode: 3 } as const;

/** A fault that the reader found itself. */
export class ReaderFault extends Error {
  readonly fault: NonNullable<NativeError['fault']>;

  constructor(fault: NonNullable<NativeError['fault']>) {
    super(fault);
    this.fault = fault;
  }
}

export interface FetchOptions {
  /** Rows per fetch; 1 or less fetches row by row. */
  readonly blockRows: number;
  readonly timeoutSeconds: number;
  readonly onExecuted?: () => void;
}

async function prepare(database: NativeDatabase, statement: Statement, options: FetchOptions): Promise<NativeStatement> {
  const prepared = await database.prepare(statement.sql);
  if (options.blockRows > 1) prepared.setAttrSync(SQL_ATTR_ROW_ARRAY_SIZE, options.blockRows);
  try {
    // The server stops the statement itself where it can; the session's own limit stands in any case.
    prepared.setAttrSync(SQL_ATTR_QUERY_TIMEOUT, options.timeoutSeconds);
  } catch {
    return prepared;
  }
  return prepared;
}

async function execute(prepared: NativeStatement, params: readonly string[]): Promise<NativeResult> {
  const executed = await prepared.execute(params);
  return (Array.isArray(executed) ? executed[0] : executed) as NativeResult;
}

function release(handle: { closeSync(): void } | null): void {
  try {
    handle?.closeSync();
  } catch {
    // A statement of a broken connection has nothing left to close.
  }
}

type Rows = readonly (readonly Cell[])[];

/**
 * Blocks of rows. The next block is on its way while one is worked on. The driver drops a row that it failed to fetch and goes on:
 * a short block that is not the last one gives that away, and the read fails.
 */
export async function* executeStatement(database: NativeDatabase, statement: Statement, options: FetchOptions): AsyncGenerator<Rows> {
  const inBlocks = options.blockRows > 1;
  const prepared = await prepare(database, statement, options);
  let result: NativeResult | null = null;
  let next: ReturnType<NativeResult['fetch']> | null = null;
  try {
    result = await execute(prepared, statement.params);
    options.onExecuted?.();
    next = result.fetch(FETCH_ARRAY);
    for (let short = false; ; ) {
      const fetched = await next;
      if (fetched === null) return;
      if (short) throw new ReaderFault('rows_missing');
      next = result.fetch(FETCH_ARRAY);
      next.catch(() => undefined);
      const block = (inBlocks ? fetched : [fetched]) as Rows;
      short = inBlocks && block.length < options.blockRows;
      yield block;
    }
  } finally {
    // Closing under a running fetch would free the buffers that it writes to.
    await next?.catch(() => undefined);
    release(result);
    release(prepared);
  }
}

/**
 * Pieces overlap by two units and lose the units at their seams: a surrogate pair that a piece cuts through is broken in it, and whole
 * in the other one.
 */
async function longValue(database: NativeDatabase, row: readonly Cell[], column: ColumnSpec, rest: RestOfValue, options: FetchOptions): Promise<string> {
  const length = Number(row[column.lengthAt]);
  const key = rest.key.map((at) => String(row[at]));
  const pieces = [String(row[column.at]).slice(0, rest.pieceLength - 1)];
  for (let covered = pieces[0]?.length ?? 0; covered < length; covered += pieces.at(-1)?.length ?? 0) {
    let piece: Cell = null;
    const statement = { sql: rest.sql, params: [String(covered), ...key] };
    for await (const block of executeStatement(database, statement, { ...options, blockRows: 2 })) piece = block[0]?.[0] ?? null;
    if (piece === null) throw new ReaderFault('value_changed');
    const isLast = covered - 1 + rest.pieceLength >= length;
    const kept = String(piece).slice(1, isLast ? undefined : rest.pieceLength - 1);
    if (kept === '') break;
    pieces.push(kept);
  }
  return pieces.join('');
}

/** Puts long values together. One that does not come to the length that was told with its first piece is rejected with its row. */
async function completed(database: NativeDatabase, row: readonly Cell[], columns: readonly ColumnSpec[], options: FetchOptions): Promise<readonly Cell[]> {
  const whole = [...row];
  for (const column of columns) {
    const length = Number(row[column.lengthAt] ?? 0);
    if (column.rest === null || length <= column.rest.pieceLength) continue;
    whole[column.at] = await longValue(database, row, column, column.rest, options);
  }
  return whole;
}

/** The rows of all statements of a read, one after another, in blocks. `onExecuted` is called once. */
export async function* executeRead(database: NativeDatabase, read: ReadRequest, timeoutSeconds: number, onExecuted: () => void): AsyncGenerator<Rows> {
  const hasLong = read.columns.some((column) => column.rest !== null);
  let executed = false;
  const options: FetchOptions = {
    blockRows: read.blockRows,
    timeoutSeconds,
    onExecuted: () => {
      if (!executed) onExecuted();
      executed = true;
    },
  };
  for (const statement of read.statements) {
    for await (const block of executeStatement(database, statement, options)) {
      if (!hasLong) {
        yield block;
        continue;
      }
      const whole: (readonly Cell[])[] = [];
      for (const row of block) whole.push(await completed(database, row, read.columns, options));
      yield whole;
    }
  }
}
