import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';
import type { ServerFacts, TableShape } from '../../schemas/table.ts';
import type { BatchLimits, FullPlan, IncrementalRead, Part, RowFormat, RowRead, SessionOptions, SliceBounds, SliceRead, SourceSession, StreamRead } from '../connector.ts';
import type { LineView } from '../silent-line.ts';
import * as catalog from './catalog.ts';
import { connectionString, modeOf, type Db2Connection } from './connection.ts';
import type { Dialect, Query, ServerSession } from './dialect.ts';
import { db2 } from './dialect-db2.ts';
import { derby } from './dialect-derby.ts';
import { cancelled, fromConnecting, fromNative, fromProbe } from './errors.ts';
import { planFull, readPart } from './full.ts';
import { poll, readFrom } from './incremental.ts';
import { quoteTable } from './names.ts';
import { probe } from './probe.ts';
import { NativeFailure, Reader, type ServerWatch } from './reader-client.ts';
import type { ServerAnswer } from './reader-protocol.ts';
import { readSlice } from './slice.ts';
import type { Source } from './source.ts';

const ROWS_MAX = 10_000;

/** Db2 says `DB2/` and its platform; Derby gives no name at all and its own version. */
function dialectOf(server: ServerAnswer): Dialect {
  if (server.product.startsWith('DB2/')) return db2;
  if (server.product === '' || /derby/i.test(server.product)) return derby;
  throw new TidemarkError('source.protocol', `The server calls itself ${server.product}, which this connector does not know.`, {
    hint: 'Db2 for Linux, UNIX and Windows is supported; Db2 for z/OS and for i are not.',
  });
}

interface Connected {
  readonly reader: Reader;
  readonly dialect: Dialect;
  readonly server: ServerAnswer;
}

async function openReader(driver: string, connection: Db2Connection, options: SessionOptions, caFile: string | null, watch: ServerWatch | null): Promise<Connected> {
  await probe(connection, options);
  const { host, port } = connection;
  const reader = new Reader(options.signal, watch);
  const text = connectionString(connection, { ...options, caFile });
  try {
    const server = await reader.open(driver, text, options.connectTimeoutMs, () => fromProbe(null, host, port));
    return { reader, server, dialect: dialectOf(server) };
  } catch (error) {
    await reader.close();
    if (!(error instanceof NativeFailure)) throw error;
    throw fromConnecting(error.native, { host, port, tls: modeOf(connection) !== 'disable' });
  }
}

/** A server that lets somebody in lives; what it does with another session only those may ask who may see its monitor. */
async function lookAtServer(driver: string, connection: Db2Connection, options: SessionOptions, caFile: string | null): Promise<LineView> {
  const { reader } = await openReader(driver, connection, options, caFile, null);
  await reader.close();
  return 'works';
}

export class Db2Session implements SourceSession {
  readonly #open: () => Promise<Connected>;
  readonly #connection: Db2Connection;
  readonly #options: SessionOptions;
  readonly #caFolder: string | null;
  #connected: Connected;
  #facts: ServerSession;
  #closed = false;

  private constructor(open: () => Promise<Connected>, connection: Db2Connection, options: SessionOptions, caFolder: string | null, connected: Connected, facts: ServerSession) {
    this.#open = open;
    this.#connection = connection;
    this.#options = options;
    this.#caFolder = caFolder;
    this.#connected = connected;
    this.#facts = facts;
  }

  static async open(driver: string, connection: Db2Connection, options: SessionOptions): Promise<Db2Session> {
    const ca = modeOf(connection) === 'disable' ? undefined : connection.tls?.ca;
    const caFolder = ca === undefined ? null : await mkdtemp(join(tmpdir(), 'tidemark-ca-'));
    const caFile = caFolder === null ? null : join(caFolder, 'authority.pem');
    try {
      if (caFile !== null) await writeFile(caFile, ca ?? '', { mode: 0o600 });
      const watch: ServerWatch = { look: (signal) => lookAtServer(driver, connection, { ...options, signal }, caFile), limits: options.lines };
      const open = (): Promise<Connected> => openReader(driver, connection, options, caFile, watch);
      const connected = await open();
      try {
        const facts = await connected.dialect.session(queryOf(connected.reader, options.statementTimeoutMs));
        return new Db2Session(open, connection, options, caFolder, connected, facts);
      } catch (error) {
        await connected.reader.close();
        throw error;
      }
    } catch (error) {
      if (caFolder !== null) await rm(caFolder, { recursive: true, force: true });
      throw error;
    }
  }

  async server(): Promise<ServerFacts> {
    const { dialect, server } = await this.#ready();
    const open = await dialect.openTransactions(await this.#query());
    const sign = this.#facts.offsetMinutes < 0 ? '-' : '+';
    const minutes = Math.abs(this.#facts.offsetMinutes);
    const two = (value: number): string => String(Math.trunc(value)).padStart(2, '0');
    const warnings = [
      ...(open === null ? ['no EXECUTE on MON_GET_UNIT_OF_WORK and MON_GET_TRANSACTION_LOG: open transactions are not seen, so rows that commit late are found within the overlap only'] : []),
      ...(modeOf(this.#connection) === 'disable' ? ['tls is off: rows travel unencrypted'] : []),
    ];
    return {
      product: dialect.product,
      version: server.version,
      database: server.database === '' ? this.#connection.database : server.database,
      user: this.#facts.user,
      timezone: `UTC${sign}${two(minutes / 60)}:${two(minutes % 60)}`,
      identity: this.#identity(),
      warnings,
    };
  }

  async discover(): Promise<readonly TableShape[]> {
    return catalog.discover((await this.#ready()).dialect, await this.#query());
  }

  async describe(table: string, types?: Readonly<Record<string, string>>): Promise<TableShape> {
    const { dialect } = await this.#ready();
    const shape = await catalog.describe(dialect, await this.#query(), table, this.#facts.schema, types);
    // The catalog shows tables that the user may not read.
    await (await this.#query(`${shape.schema}.${shape.name}`))(`SELECT 1 FROM ${quoteTable(shape)} WHERE 1 = 0${dialect.readSuffix}`);
    return shape;
  }

  async poll(stream: StreamRead, position: Position): Promise<boolean> {
    return poll(await this.#source(), stream, position);
  }

  async readFrom(stream: StreamRead, position: Position | null, limits: BatchLimits): Promise<IncrementalRead> {
    return readFrom(await this.#source(), stream, position, limits);
  }

  async planFull(stream: StreamRead, limits: BatchLimits): Promise<FullPlan> {
    return planFull(await this.#source(), stream, limits);
  }

  async readPart(stream: StreamRead, part: Part, _format: RowFormat, onReject: 'mark' | 'fail' = 'mark'): Promise<RowRead> {
    return readPart(await this.#source(), stream, part, onReject);
  }

  async readSlice(stream: StreamRead, range: SliceBounds): Promise<SliceRead> {
    return readSlice(await this.#source(), stream, range);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#connected.reader.close();
    if (this.#caFolder !== null) await rm(this.#caFolder, { recursive: true, force: true }).catch(() => undefined);
  }

  /** A read that was left early took its process with it; the next call gets a new one. */
  async #ready(): Promise<Connected> {
    if (this.#options.signal.aborted) throw cancelled();
    if (this.#closed) throw new Error('The session is closed.');
    if (!this.#connected.reader.usable) this.#connected = await this.#open();
    return this.#connected;
  }

  #identity(): string {
    return `${this.#facts.identity}:${this.#connection.database.toUpperCase()}`;
  }

  async #query(subject?: string): Promise<Query> {
    return queryOf((await this.#ready()).reader, this.#options.statementTimeoutMs, subject);
  }

  async #source(): Promise<Source> {
    const { reader, dialect } = await this.#ready();
    const timeoutMs = this.#options.statementTimeoutMs;
    const subject = (stream: StreamRead): string => `${stream.table.schema}.${stream.table.name}`;
    return {
      dialect,
      facts: this.#facts,
      identity: this.#identity(),
      query: (stream) => queryOf(reader, timeoutMs, subject(stream)),
      digest: (stream, read) => reader.digest(read, timeoutMs).catch((error: unknown) => rethrow(error, subject(stream))),
      read: (stream, read) => reader.read(read, timeoutMs, subject(stream)).catch((error: unknown) => rethrow(error, subject(stream))),
    };
  }
}

function rethrow(error: unknown, subject?: string): never {
  throw error instanceof NativeFailure ? fromNative(error.native, subject) : error;
}

function queryOf(reader: Reader, timeoutMs: number, subject?: string): Query {
  return (sql, params = [], rowsMax = ROWS_MAX) => reader.query({ sql, params }, rowsMax, timeoutMs).catch((error: unknown) => rethrow(error, subject));
}
