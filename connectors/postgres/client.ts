/** One server session: opened with everything pinned that changes how values are printed, cancelled on the server, always released. */
import { Socket } from 'node:net';
import pg from 'pg';
import { TidemarkError } from '../../schemas/errors.ts';
import type { SessionOptions } from '../connector.ts';
import { watchLine, type AwaitedLine } from '../silent-line.ts';
import type { PostgresConnection } from './connection.ts';
import { driverSettings, tlsOf } from './driver-settings.ts';
import { toTidemarkError } from './errors.ts';
import { pinSession, type ServerIdentity } from './pinned-session.ts';
import { RecycledReads } from './recycled-reads.ts';
import { endBackend, viewBackend } from './session-view.ts';

/** A result row: the server's text of each column, null for NULL. */
export type TextRow = Readonly<Record<string, string | null>>;

const CANCEL_TIMEOUT_MS = 2_000;
const CLOSE_TIMEOUT_MS = 2_000;
/** The server ends a statement at its timeout; a connection that says nothing so much later is dead. */
const SILENCE_GRACE_MS = 10_000;

/** Runs while an answer is wanted. */
export interface Silence {
  /** The server has said something. */
  refresh(): void;
  stop(): void;
}

export class PostgresClient {
  readonly #connection: PostgresConnection;
  readonly #options: SessionOptions;
  readonly #driver: pg.Client;
  readonly #socket: Socket;
  /** Null where the connection is encrypted: what is read there is not what the rows are made of. */
  readonly reads: RecycledReads | null;
  #identity: ServerIdentity | null = null;
  /** Why the line was given up, where it was silent. */
  #silent: TidemarkError | null = null;
  #closed: Promise<void> | null = null;
  /** A cancel that is on its way falls on whatever the session runs when it arrives: no statement begins before that. */
  #cancelling: Promise<void> | null = null;
  readonly #onAbort = (): void => void this.cancel();

  private constructor(connection: PostgresConnection, options: SessionOptions) {
    this.#connection = connection;
    this.#options = options;
    this.reads = tlsOf(connection) === null ? new RecycledReads() : null;
    this.#socket = this.reads?.socket ?? new Socket();
    this.#driver = new pg.Client(driverSettings(connection, options, this.#socket));
    // An idle session that the server ends is reported by the next statement.
    this.#driver.on('error', () => undefined);
  }

  /** Throws what {@link Connector.connect} throws. */
  static async open(connection: PostgresConnection, options: SessionOptions): Promise<PostgresClient> {
    if (options.signal.aborted) throw cancelled();
    const client = new PostgresClient(connection, options);
    const abort = (): void => void client.#socket.destroy();
    options.signal.addEventListener('abort', abort, { once: true });
    let pinning: NodeJS.Timeout | undefined;
    try {
      await client.#driver.connect();
      // Whatever answered the login must also answer the first questions in that time.
      pinning = setTimeout(abort, options.connectTimeoutMs);
      client.#identity = await pinSession(client.#driver, connection, options);
    } catch (error) {
      await client.close();
      throw options.signal.aborted ? cancelled() : toTidemarkError(error, `${connection.host}:${connection.port}`);
    } finally {
      clearTimeout(pinning);
      options.signal.removeEventListener('abort', abort);
    }
    options.signal.addEventListener('abort', client.#onAbort, { once: true });
    return client;
  }

  get server(): ServerIdentity {
    if (this.#identity === null) throw new TidemarkError('source.connection_lost', 'The session is not open.');
    return this.#identity;
  }

  get connection(): PostgresConnection {
    return this.#connection;
  }

  get applicationName(): string {
    return this.#options.applicationName;
  }

  get signal(): AbortSignal {
    return this.#options.signal;
  }

  /** The driver itself, for COPY. */
  get driver(): pg.Client {
    return this.#driver;
  }

  /** Rows of one statement; `where` names what is asked, for the error. */
  async rows(where: string, text: string, values: readonly (string | null)[] = []): Promise<readonly TextRow[]> {
    await this.#cancelling;
    if (this.#options.signal.aborted) throw cancelled();
    try {
      const result = await this.inTime(this.#driver.query<Record<string, string | null>>(values.length > 0 ? { text, values: [...values] } : { text }));
      return result.rows;
    } catch (error) {
      throw this.explain(error, where);
    }
  }

  /** The only row of a statement that always has one. */
  async row(where: string, text: string, values: readonly (string | null)[] = []): Promise<TextRow> {
    const [row] = await this.rows(where, text, values);
    if (!row) throw new TidemarkError('source.query_failed', `${where}: the server returned no row.`);
    return row;
  }

  /** Ends an open transaction, if any; never throws. */
  async rollback(): Promise<void> {
    await this.#cancelling;
    await this.inTime(this.#driver.query('ROLLBACK')).catch(() => undefined);
  }

  /** An answer within the statement timeout: a network that swallows everything must not hold a call for ever. */
  async inTime<T>(answer: Promise<T>): Promise<T> {
    const silence = this.onSilence();
    try {
      return await answer;
    } finally {
      silence.stop();
    }
  }

  /** Ends the session when the server has said nothing for longer than a statement may take, or no longer knows that it is asked anything. */
  onSilence(): Silence {
    const { statementTimeoutMs } = this.#options;
    const timer = statementTimeoutMs === 0 ? undefined : setTimeout(() => this.abandon(), statementTimeoutMs + SILENCE_GRACE_MS);
    const line: AwaitedLine = {
      heard: () => this.#socket.bytesRead,
      awaited: () => true,
      look: (signal) => viewBackend(this.#connection, this.#options, this.server, signal),
      giveUp: (error) => this.#giveUp(error),
    };
    const stop = watchLine(line, this.#options.lines);
    return {
      refresh: () => void timer?.refresh(),
      stop: () => {
        clearTimeout(timer);
        stop();
      },
    };
  }

  explain(error: unknown, where: string): TidemarkError {
    return this.#options.signal.aborted ? cancelled(error) : (this.#silent ?? toTidemarkError(error, where));
  }

  /**
   * Cancels the running statement by a second session, so that it goes through TLS and a pooler alike; where that is not
   * possible in time the socket is destroyed, which the server notices within seconds. Never throws.
   */
  cancel(): Promise<void> {
    this.#cancelling ??= this.#cancelOnServer().finally(() => {
      this.#cancelling = null;
    });
    return this.#cancelling;
  }

  /** Destroys the socket: the last resort where the server does not answer. */
  abandon(): void {
    this.#socket.destroy();
  }

  #giveUp(error: TidemarkError): void {
    this.#silent = error;
    this.abandon();
    if (error.code === 'source.connection_lost') void endBackend(this.#connection, this.#options, this.server);
  }

  /** Bounded; never throws; may be called twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#options.signal.removeEventListener('abort', this.#onAbort);
    const timer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
    await this.#cancelling;
    await this.#driver.end().catch(() => undefined);
    clearTimeout(timer);
    this.#socket.destroy();
  }

  async #cancelOnServer(): Promise<void> {
    if (this.#identity === null) return void this.#socket.destroy();
    const socket = new Socket();
    const timer = setTimeout(() => {
      socket.destroy();
      this.#socket.destroy();
    }, CANCEL_TIMEOUT_MS);
    const other = new pg.Client(driverSettings(this.#connection, { ...this.#options, connectTimeoutMs: CANCEL_TIMEOUT_MS }, socket));
    other.on('error', () => undefined);
    try {
      await other.connect();
      // The start time tells this backend from a later one with the same process id.
      await other.query('SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2', [this.#identity.pid, this.#identity.backendStart]);
    } catch {
      this.#socket.destroy();
    } finally {
      await other.end().catch(() => undefined);
      clearTimeout(timer);
      socket.destroy();
    }
  }
}

export function cancelled(cause?: unknown): TidemarkError {
  return new TidemarkError('batch.cancelled', 'The read was cancelled.', { cause });
}
