/** A {@link SourceSession} on one connection. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';
import type { ServerFacts, TableShape } from '../../schemas/table.ts';
import type { BatchLimits, FullPlan, IncrementalRead, Part, RowFormat, RowRead, SessionOptions, SliceBounds, SliceRead, SourceComparison, SourceSession, StreamRead } from '../connector.ts';
import { describeTable, discoverTables } from './catalog.ts';
import { SILENCE_GRACE_MS, type OpenConnection } from './connection.ts';
import { asTidemarkError } from './errors.ts';
import { planFull, readPart } from './full.ts';
import { readIncremental } from './incremental.ts';
import { poll } from './poll.ts';
import { beginRowDigest, openKeys, openRowDigestKeys, planRowDigest } from './row-digest.ts';
import type { RowStream } from './row-stream.ts';
import { readScanScope } from './scope.ts';
import { readSlice } from './slice.ts';
import { readServer } from './server.ts';
import { createSource, type Source } from './source.ts';
import { checkChoices, type TypeChoices } from './types.ts';

class MysqlSession implements SourceSession {
  readonly #connection: OpenConnection;
  readonly #options: SessionOptions;
  readonly #database: string;
  readonly #source: Source;
  #rows: RowStream | null = null;
  #closing: Promise<void> | null = null;

  constructor(connection: OpenConnection, database: string, options: SessionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#database = database;
    const silenceMs = options.statementTimeoutMs === 0 ? 0 : options.statementTimeoutMs + SILENCE_GRACE_MS;
    this.#source = createSource(connection, { silenceMs, signal: options.signal, onOpen: (rows) => { this.#rows = rows; } });
  }

  server(): Promise<ServerFacts> {
    return this.#guarded(() => readServer(this.#connection, this.#database));
  }

  discover(): Promise<readonly TableShape[]> {
    return this.#guarded(() => discoverTables(this.#connection));
  }

  describe(table: string, types: TypeChoices = {}): Promise<TableShape> {
    return this.#guarded(async () => {
      checkChoices(types);
      return (await describeTable(this.#connection, this.#database, table, types)).shape;
    });
  }

  poll(stream: StreamRead, position: Position): Promise<boolean> {
    return this.#guarded(() => poll(this.#source, stream, position));
  }

  readFrom(stream: StreamRead, position: Position | null, limits: BatchLimits, format: RowFormat): Promise<IncrementalRead> {
    return this.#guarded(() => {
      requireText(format);
      return readIncremental(this.#source, stream, position, limits);
    });
  }

  planFull(stream: StreamRead, limits: BatchLimits): Promise<FullPlan> {
    return this.#guarded(() => planFull(this.#source, stream, limits));
  }

  readPart(stream: StreamRead, part: Part, format: RowFormat, onReject: 'mark' | 'fail' = 'mark'): Promise<RowRead> {
    return this.#guarded(() => {
      requireText(format);
      return readPart(this.#source, stream, part, onReject);
    });
  }

  readSlice(stream: StreamRead, range: SliceBounds, format: RowFormat): Promise<SliceRead> {
    return this.#guarded(() => {
      requireText(format);
      return readSlice(this.#source, stream, range);
    });
  }

  scanScope(stream: StreamRead): Promise<string> {
    return this.#guarded(() => readScanScope(this.#connection, stream));
  }

  readKeys(stream: StreamRead, keys: readonly (readonly string[])[], format: RowFormat): Promise<RowRead> {
    return this.#guarded(() => {
      requireText(format);
      return openKeys(this.#source, stream, keys);
    });
  }

  readonly comparison: SourceComparison = {
    plan: (stream, targetTypes) => Promise.resolve(planRowDigest(stream, targetTypes)),
    digest: (stream, plan, buckets) => this.#guarded(() => beginRowDigest(this.#source, stream, plan, buckets)),
    keys: (stream, plan, buckets, chosen) => this.#guarded(() => Promise.resolve(openRowDigestKeys(this.#source, stream, plan, buckets, chosen))),
  };

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const stream = this.#rows?.stream;
    if (stream !== undefined && !stream.destroyed && !stream.readableEnded) {
      const closed = new Promise<void>((resolve) => { stream.once('close', resolve); });
      // Whoever reads on learns that the rows are not complete; nobody may be listening any more.
      stream.on('error', () => undefined);
      stream.destroy(new TidemarkError('source.read_interrupted', 'The session was closed while rows were read.'));
      await closed;
    }
    await this.#connection.end();
  }

  /** Runs one call. Aborting cancels at the server, cuts the connection and fails the call. */
  #guarded<Result>(call: () => Promise<Result>): Promise<Result> {
    const { signal } = this.#options;
    return new Promise((resolve, reject) => {
      let settled = false;
      const stop = (error: TidemarkError): void => {
        if (settled) return;
        settled = true;
        signal.removeEventListener('abort', onAbort);
        void this.#connection.killQuery().then(() => {
          this.#connection.destroy();
          reject(error);
        });
      };
      const onAbort = (): void => { stop(new TidemarkError('source.read_interrupted', `The call was cancelled (${this.#connection.address}).`)); };
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener('abort', onAbort, { once: true });
      const finish = (settle: () => void): void => {
        if (settled) return;
        settled = true;
        signal.removeEventListener('abort', onAbort);
        settle();
      };
      call().then(
        (result) => { finish(() => { resolve(result); }); },
        (error: unknown) => { finish(() => { reject(asTidemarkError(error, this.#connection.address)); }); },
      );
    });
  }
}

function requireText(format: RowFormat): void {
  if (format !== 'copy-text') throw new TidemarkError('source.query_failed', 'MySQL rows can be had as copy-text only.');
}

export function createSession(connection: OpenConnection, database: string, options: SessionOptions): SourceSession {
  return new MysqlSession(connection, database, options);
}
