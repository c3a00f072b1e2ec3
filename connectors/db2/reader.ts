/**
 * The process that holds the native driver: one connection, one request at a time, made by {@link Reader} in `reader-client.ts`.
 * A crash or a hang of the driver ends here. Without its parent it ends itself.
 */
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import type { Cell, NativeDatabase, NativeDriver } from './driver.ts';
import { plainLine, rowLine } from './row-line.ts';
import { executeRead, executeStatement, ReaderFault } from './statement.ts';
import { ROWS_FD, type NativeError, type ReaderReply, type ReaderRequest, type ReadRequest } from './reader-protocol.ts';

const SQL_DBMS_NAME = 17;
const SQL_DBMS_VER = 18;
const SQL_DATABASE_NAME = 16;
const CHUNK_BYTES = 128 * 1024;

let database: NativeDatabase | null = null;
const rows = new Socket({ fd: ROWS_FD, readable: false, writable: true });

function reply(message: ReaderReply): void {
  process.send?.(message);
}

/** Ends at once: an orderly exit waits for the driver's threads, for ever where the network has swallowed their answer. */
function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}

function connected(): NativeDatabase {
  if (database === null) throw new ReaderFault('crash');
  return database;
}

function nativeError(error: unknown): NativeError {
  if (error instanceof ReaderFault) return { sqlcode: null, sqlstate: null, fault: error.fault };
  const { sqlcode, sqlstate } = (error ?? {}) as { sqlcode?: unknown; sqlstate?: unknown };
  return { sqlcode: typeof sqlcode === 'number' ? sqlcode : null, sqlstate: typeof sqlstate === 'string' ? sqlstate : null, fault: null };
}

async function open(driver: string, connectionString: string): Promise<unknown> {
  let native: NativeDriver;
  try {
    native = createRequire(import.meta.url)(driver) as NativeDriver;
  } catch {
    throw new ReaderFault('driver_load');
  }
  database = await native.open(connectionString);
  const info = (type: number): string => {
    const value = database?.getInfoSync(type, 255);
    return typeof value === 'string' ? value : '';
  };
  return { product: info(SQL_DBMS_NAME), version: info(SQL_DBMS_VER), database: info(SQL_DATABASE_NAME) };
}

const jsonCell = (cell: Cell): Cell => (Buffer.isBuffer(cell) ? cell.toString('hex') : cell);

async function query(sql: string, params: readonly string[], rowsMax: number, timeoutSeconds: number): Promise<readonly (readonly Cell[])[]> {
  const found: (readonly Cell[])[] = [];
  const blockRows = Math.max(2, Math.min(100, rowsMax));
  for await (const block of executeStatement(connected(), { sql, params }, { blockRows, timeoutSeconds })) {
    found.push(...block.slice(0, rowsMax - found.length).map((row) => row.map(jsonCell)));
    if (found.length >= rowsMax) break;
  }
  return found;
}

async function digest(read: ReadRequest, timeoutSeconds: number): Promise<unknown> {
  const hashes: string[] = [];
  for await (const block of executeRead(connected(), read, timeoutSeconds, () => undefined)) {
    for (const row of block) hashes.push(createHash('sha256').update(rowLine(row, read.columns)).digest('base64'));
  }
  return { rows: hashes.length, digest: createHash('sha256').update(hashes.sort().join()).digest('base64') };
}

async function write(text: string): Promise<number> {
  const bytes = Buffer.from(text, 'utf8');
  if (!rows.write(bytes)) await new Promise((resolve) => rows.once('drain', resolve));
  return bytes.length;
}

/** Throws where the row is to be rejected: the rows are read again with marks. */
function goodLine(row: readonly Cell[], columns: ReadRequest['columns']): string {
  const line = plainLine(row, columns);
  if (line === null) throw new ReaderFault('row_refused');
  return line;
}

async function stream(id: number, read: ReadRequest, timeoutSeconds: number): Promise<void> {
  let count = 0;
  let bytes = 0;
  let waiting = '';
  for await (const block of executeRead(connected(), read, timeoutSeconds, () => reply({ id, event: 'opened' }))) {
    count += block.length;
    for (const row of block) {
      waiting += read.marks ? rowLine(row, read.columns) : goodLine(row, read.columns);
      if (waiting.length < CHUNK_BYTES) continue;
      bytes += await write(waiting);
      waiting = '';
    }
  }
  if (waiting !== '') bytes += await write(waiting);
  reply({ id, event: 'done', rows: count, bytes });
}

async function answer(request: ReaderRequest): Promise<void> {
  const { id } = request;
  switch (request.op) {
    case 'open':
      return reply({ id, event: 'answer', value: await open(request.driver, request.connectionString) });
    case 'query':
      return reply({ id, event: 'answer', value: await query(request.sql, request.params, request.rowsMax, request.timeoutSeconds) });
    case 'digest':
      return reply({ id, event: 'answer', value: await digest(request.read, request.timeoutSeconds) });
    case 'read':
      return stream(id, request.read, request.timeoutSeconds);
    case 'close':
      database?.closeSync();
      database = null;
      return reply({ id, event: 'answer', value: null });
  }
}

let current = 0;

process.on('message', (message) => {
  const request = message as ReaderRequest;
  current = request.id;
  answer(request).catch((error: unknown) => reply({ id: request.id, event: 'failed', error: nativeError(error) }));
});
process.on('disconnect', endNow);
rows.on('error', endNow);
// The driver throws some of its errors outside of any call: the state of its handles is unknown after that.
process.on('uncaughtException', (error) => {
  const known = nativeError(error);
  const failed: ReaderReply = { id: current, event: 'failed', error: known.sqlcode === null ? { ...known, fault: 'crash' } : known };
  process.send?.(failed, endNow);
});
