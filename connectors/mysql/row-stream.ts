/** The rows of one or more statements in one snapshot as a Readable of COPY text, with back-pressure down to the socket. */
import { Readable } from 'node:stream';
import type mysql from 'mysql2';
import { TidemarkError } from '../../schemas/errors.ts';
import { MARK, type OpenConnection } from './connection.ts';
import { createRowEncoder, type RowField } from './copy-rows.ts';
import { asTidemarkError } from './errors.ts';

/** What this file uses of mysql2's packet: the row is `buffer[offset, end)`. */
interface RowPacket {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly end: number;
  isEOF(): boolean;
}

type RowHandler = (packet: RowPacket, connection: unknown) => unknown;

/** mysql2's running query. `row` is its state for row packets; it returns the next state. */
interface RunningQuery {
  row: RowHandler;
  on(event: 'error', listener: (error: Error) => void): this;
  on(event: 'end', listener: () => void): this;
}

/**
 * Runs a statement and hands each row's packet over unread. mysql2's public ways make a JavaScript value of every field, which
 * costs more than all the rest of an extract; its query looks up `this.row` for each packet, so that one place is overridden.
 * The version of mysql2 is pinned, and the type tests fail if this stops working.
 */
function readPackets(driver: mysql.Connection, sql: string, onRow: (packet: RowPacket) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onLost = (error: Error): void => { reject(error); };
    driver.once('error', onLost);
    const query = driver.query({ sql: `${MARK} ${sql}` }) as unknown as RunningQuery;
    const ended = query.row;
    query.row = function row(packet, connection) {
      if (packet.isEOF()) return ended.call(query, packet, connection);
      try {
        onRow(packet);
      } catch (error) {
        reject(error instanceof Error ? error : new Error('a row could not be written', { cause: error }));
        query.row = skip;
        return skip;
      }
      return row;
    };
    const skip: RowHandler = (packet, connection) => (packet.isEOF() ? ended.call(query, packet, connection) : skip);
    query.on('error', reject);
    query.on('end', () => {
      driver.removeListener('error', onLost);
      resolve();
    });
  });
}

export interface RowStreamRequest {
  readonly connection: OpenConnection;
  /** SELECTs of the same columns, run one after the other in the open transaction, which is ended after the last. */
  readonly statements: readonly string[];
  readonly fields: readonly RowField[];
  readonly zeroDates: 'reject' | 'null';
  /** Rows are marked where they are refused; else the first such row fails the stream. */
  readonly marks: boolean;
  /** For messages: the table. */
  readonly what: string;
  /** Without a packet for so long while rows are wanted, the connection counts as lost. */
  readonly silenceMs: number;
  readonly signal: AbortSignal;
}

export interface RowStream {
  readonly stream: Readable;
  rowsRead(): number;
}

const BUFFER_BYTES = 512 * 1024;

/** How far the rows are, and what holds them back. */
interface Flow {
  rows: number;
  /** The consumer has enough for now. */
  full: boolean;
  /** The connection hands out no packet: the consumer has enough, or a long row is not written yet. */
  paused: boolean;
  /** What remains of a long row. */
  rest: Generator<void> | null;
  /** A chunk that is handed out may call for the next one before it returns. */
  writing: boolean;
  finished: boolean;
}

function pause(connection: OpenConnection, flow: Flow): void {
  if (flow.paused) return;
  flow.paused = true;
  connection.driver.pause();
}

/** Goes on where the consumer wants more: first with what remains of a long row, then with the next packets. */
function proceed(connection: OpenConnection, flow: Flow): void {
  if (flow.writing) return;
  flow.writing = true;
  try {
    while (flow.rest !== null && !flow.full) {
      if (flow.rest.next().done === true) flow.rest = null;
    }
  } finally {
    flow.writing = false;
  }
  if (flow.full || flow.rest !== null || !flow.paused) return;
  flow.paused = false;
  connection.driver.resume();
}

async function pump(request: RowStreamRequest, stream: Readable, flow: Flow): Promise<void> {
  const { connection } = request;
  const encoder = createRowEncoder(request, (chunk) => {
    if (stream.push(chunk)) return;
    flow.full = true;
    pause(connection, flow);
  });
  for (const sql of request.statements) {
    await readPackets(connection.driver, sql, (packet) => {
      if (stream.destroyed) return;
      flow.rest = encoder.row(packet.buffer, packet.offset, packet.end);
      flow.rows += 1;
      if (flow.rest === null) return;
      pause(connection, flow);
      proceed(connection, flow);
    });
  }
  encoder.flush();
  // The end of the rows has been read: whatever the last chunks held back, the connection's next answer is wanted.
  flow.full = false;
  proceed(connection, flow);
  await connection.query('COMMIT', request.what);
  flow.finished = true;
  stream.push(null);
}

/** Calls `onSilence` when no row came for `silenceMs` although rows were wanted. Returns what stops the watch. */
function watchSilence(flow: Flow, silenceMs: number, onSilence: () => void): () => void {
  let seen = -1;
  let since = performance.now();
  const timer = setInterval(() => {
    if (flow.paused || flow.rows !== seen) {
      seen = flow.rows;
      since = performance.now();
    } else if (performance.now() - since > silenceMs) onSilence();
  }, Math.min(silenceMs, 5_000));
  timer.unref();
  return () => { clearInterval(timer); };
}

/** Nothing is asked of the server before the first read. Destroying the stream cancels the statement and ends the connection. */
export function openRowStream(request: RowStreamRequest): RowStream {
  const { connection, signal, what } = request;
  const flow: Flow = { rows: 0, full: false, paused: false, rest: null, writing: false, finished: false };
  let started = false;
  let stopWatches: readonly (() => void)[] = [];
  const onAbort = (): void => {
    stream.destroy(new TidemarkError('source.read_interrupted', `Reading was cancelled (${what}).`));
  };
  const start = (): void => {
    started = true;
    stopWatches = [connection.watch((error) => stream.destroy(error), () => !flow.paused)];
    if (request.silenceMs > 0) {
      const onSilence = (): void => { stream.destroy(new TidemarkError('source.connection_lost', `The server fell silent while rows were read (${what}).`)); };
      stopWatches = [...stopWatches, watchSilence(flow, request.silenceMs, onSilence)];
    }
    pump(request, stream, flow).catch((error: unknown) => { stream.destroy(asTidemarkError(error, what)); });
  };
  const stream = new Readable({
    highWaterMark: BUFFER_BYTES,
    read() {
      flow.full = false;
      if (started) proceed(connection, flow);
      else start();
    },
    destroy(error, callback) {
      for (const stop of stopWatches) stop();
      signal.removeEventListener('abort', onAbort);
      if (flow.finished) {
        callback(error);
        return;
      }
      // Cutting the socket alone would leave the server at work until it next writes.
      void (started ? connection.killQuery() : Promise.resolve()).then(() => {
        connection.destroy();
        callback(error);
      });
    },
  });
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  return { stream, rowsRead: () => flow.rows };
}
