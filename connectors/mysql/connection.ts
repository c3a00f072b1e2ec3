/** One mysql2 connection: opened with its session pinned, asked for text, cancelled at the server, ended within bounds. */
import type { Socket } from 'node:net';
import mysql from 'mysql2';
import { TidemarkError } from '../../schemas/errors.ts';
import type { SessionOptions } from '../connector.ts';
import { watchLine } from '../silent-line.ts';
import { asTidemarkError } from './errors.ts';
import type { MysqlConnection } from './connection-schema.ts';
import { endSession, viewSession, type SessionId } from './session-view.ts';
import { assertIdentity, connectError, driverTls, nameAddress } from './tls.ts';

/** A row of a question to the catalog or the clock: the server's text, never a JavaScript number or Date. */
export type TextRow = readonly (string | null)[];

const KILL_TIMEOUT_MS = 3_000;
const END_TIMEOUT_MS = 2_000;
/** A reader that waits for its target must not be taken for dead: the server's default is 60 s. */
const NET_WRITE_TIMEOUT_S = 3_600;
const LOCK_WAIT_TIMEOUT_S = 30;
/** Beyond this many bytes ORDER BY ignores the rest of a text; the default of 1024 would page long keys wrongly. */
const SORT_LENGTH_BYTES = 65_536;

function driverOptions(connection: MysqlConnection, options: SessionOptions): mysql.ConnectionOptions {
  const ssl = driverTls(connection);
  return {
    host: connection.host,
    port: connection.port,
    user: connection.user,
    password: connection.password,
    database: connection.database,
    charset: 'utf8mb4',
    connectTimeout: options.connectTimeoutMs,
    // A server that asks for a local file gets nothing: neither the capability nor a stream.
    flags: ['-LOCAL_FILES', '-MULTI_STATEMENTS'],
    multipleStatements: false,
    rowsAsArray: true,
    disableEval: true,
    // None is prepared; mysql2 makes half a megabyte of places for 16,000 of them.
    maxPreparedStatements: 1,
    typeCast: (field) => field.string(),
    enableKeepAlive: true,
    keepAliveInitialDelay: 10_000,
    connectAttributes: { program_name: options.applicationName },
    ...(ssl === undefined ? {} : { ssl }),
  };
}

/** What differs between the two products. */
export type Product = 'MySQL' | 'MariaDB';

function pins(product: Product, major: number, options: SessionOptions): readonly string[] {
  const timeoutMs = options.statementTimeoutMs;
  const common = [
    "SET NAMES utf8mb4 COLLATE utf8mb4_bin",
    // ALLOW_INVALID_DATES and no NO_ZERO_DATE: zero and impossible dates can be read and compared. No ANSI_QUOTES, no PAD_CHAR_TO_FULL_LENGTH.
    `SET SESSION autocommit=1, time_zone='+00:00', sql_mode='ALLOW_INVALID_DATES', sql_auto_is_null=0, sql_big_selects=1,
      sql_select_limit=18446744073709551615, max_sort_length=${SORT_LENGTH_BYTES},
      net_write_timeout=${NET_WRITE_TIMEOUT_S}, lock_wait_timeout=${LOCK_WAIT_TIMEOUT_S}`,
    'SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY',
  ];
  if (product === 'MariaDB') return [...common, `SET SESSION max_statement_time=${timeoutMs / 1000}`];
  const estimates = major >= 8 ? ['SET SESSION information_schema_stats_expiry=0'] : [];
  return [...common, ...estimates, `SET SESSION max_execution_time=${timeoutMs}`];
}

export interface OpenConnection {
  readonly driver: mysql.Connection;
  readonly product: Product;
  /** `10.11.19-MariaDB-…` or `8.0.36`. */
  readonly version: string;
  readonly threadId: number;
  /** It was asked for as a replica, and takes no writes. */
  readonly replica: boolean;
  /** For messages: `host:port`. */
  readonly address: string;
  /** Rows as text. Fails as a {@link TidemarkError}; `what` names what was asked for. */
  query(sql: string, what: string): Promise<readonly TextRow[]>;
  /** Looks at the server while an answer is wanted and none comes; `giveUp` is told why the line is dead. Returns what ends the watch. */
  watch(giveUp: (error: TidemarkError) => void, awaited?: () => boolean): () => void;
  /** KILL QUERY from a second connection. Bounded; never throws. */
  killQuery(): Promise<void>;
  /** Ends politely where that takes no time, else cuts the socket. Never throws. */
  end(): Promise<void>;
  /** Cuts the socket at once. */
  destroy(): void;
}

function openDriver(connection: MysqlConnection, options: SessionOptions): Promise<mysql.Connection> {
  const address = `${connection.host}:${connection.port}`;
  return new Promise((resolve, reject) => {
    options.signal.throwIfAborted();
    const driver = mysql.createConnection(driverOptions(connection, options));
    nameAddress(socketOf(driver), connection);
    const onAbort = (): void => {
      cut(driver);
      reject(new TidemarkError('source.read_interrupted', `Connecting to ${address} was cancelled.`));
    };
    options.signal.addEventListener('abort', onAbort, { once: true });
    driver.connect((error) => {
      options.signal.removeEventListener('abort', onAbort);
      // Errors between statements are told to the next statement; without a listener they would end the process.
      driver.on('error', () => undefined);
      if (error === null) return resolve(driver);
      cut(driver);
      reject(connectError(error, socketOf(driver), address));
    });
  });
}

function socketOf(driver: mysql.Connection): Socket {
  return (driver as unknown as { readonly stream: Socket }).stream;
}

/** mysql2's own `destroy` waits for the other end, which may never answer. */
export function cut(driver: mysql.Connection): void {
  socketOf(driver).destroy();
}

/** Stands at the head of every statement: a DBA sees whose it is, and our own don't count as open transactions. */
export const MARK = '/* tidemark */';

function ask(driver: mysql.Connection, sql: string): Promise<readonly TextRow[]> {
  return new Promise((resolve, reject) => {
    driver.query<mysql.RowDataPacket[]>({ sql: `${MARK} ${sql}` }, (error, rows) => {
      if (error !== null) reject(error);
      else resolve(Array.isArray(rows) ? (rows as unknown as readonly TextRow[]) : []);
    });
  });
}

/** The server ends a statement at its timeout; a connection that says nothing so much later is dead. */
export const SILENCE_GRACE_MS = 10_000;

/** {@link ask}, within the statement timeout: a network that swallows everything must not hold a call for ever. */
async function askInTime(driver: mysql.Connection, sql: string, statementTimeoutMs: number, watch: OpenConnection['watch']): Promise<readonly TextRow[]> {
  let silent: TidemarkError | null = null;
  // Cutting the socket fails the statement as a lost connection.
  const timer = statementTimeoutMs === 0 ? undefined : setTimeout(() => { cut(driver); }, statementTimeoutMs + SILENCE_GRACE_MS);
  const stop = watch((error) => {
    silent = error;
    cut(driver);
  });
  try {
    return await ask(driver, sql);
  } catch (error) {
    throw silent ?? error;
  } finally {
    clearTimeout(timer);
    stop();
  }
}

function bounded(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, timeoutMs);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    work.then(done, done);
  });
}

/** Asks on a second connection, whatever became of the first one and its caller. */
async function askBeside<T>(connection: MysqlConnection, options: SessionOptions, signal: AbortSignal, work: (ask: (sql: string) => Promise<readonly TextRow[]>) => Promise<T>): Promise<T> {
  const other = await openDriver(connection, { ...options, signal });
  const end = (): void => { cut(other); };
  signal.addEventListener('abort', end, { once: true });
  try {
    return await work((sql) => ask(other, sql));
  } finally {
    signal.removeEventListener('abort', end);
    cut(other);
  }
}

async function kill(connection: MysqlConnection, options: SessionOptions, work: (ask: (sql: string) => Promise<readonly TextRow[]>) => Promise<unknown>): Promise<void> {
  const signal = AbortSignal.timeout(KILL_TIMEOUT_MS);
  await bounded(askBeside(connection, { ...options, connectTimeoutMs: KILL_TIMEOUT_MS }, signal, work), KILL_TIMEOUT_MS);
}

function watchSession(connection: MysqlConnection, options: SessionOptions, driver: mysql.Connection, id: SessionId): OpenConnection['watch'] {
  return (giveUp, awaited = () => true) => watchLine({
    awaited,
    heard: () => socketOf(driver).bytesRead,
    look: (signal) => askBeside(connection, options, signal, (other) => viewSession(other, id)),
    giveUp: (error) => {
      giveUp(error);
      if (error.code === 'source.connection_lost') void kill(connection, options, (other) => endSession(other, id));
    },
  }, options.lines);
}

async function requireReadOnly(driver: mysql.Connection, address: string): Promise<void> {
  const [row] = await ask(driver, 'SELECT @@global.read_only');
  if (row?.[0] === '1') return;
  throw new TidemarkError('source.not_replica', `${address}: The server takes writes, and connection.replica asks for one that does not.`, {
    hint: 'Is this the primary, after a fail-over perhaps? Give the address of a replica with read_only on, or take replica out.',
  });
}

/** Opens and pins. Throws what {@link asTidemarkError} says of the driver's failure. */
export async function openConnection(connection: MysqlConnection, options: SessionOptions): Promise<OpenConnection> {
  const driver = await openDriver(connection, options);
  const address = `${connection.host}:${connection.port}`;
  // Whatever answered the login must also answer the first questions in that time.
  const timer = setTimeout(() => { cut(driver); }, options.connectTimeoutMs);
  try {
    assertIdentity(socketOf(driver), connection);
    const [facts] = await ask(driver, "SELECT VERSION(), CONNECTION_ID(), CONCAT(@@hostname, ':', @@port)");
    const version = facts?.[0] ?? '';
    const threadId = Number(facts?.[1] ?? '0');
    const product: Product = /mariadb/i.test(version) ? 'MariaDB' : 'MySQL';
    const [major = '0'] = version.split('.');
    for (const pin of pins(product, Number(major), options)) await ask(driver, pin);
    if (connection.replica === true) await requireReadOnly(driver, address);
    const watch = watchSession(connection, options, driver, { threadId, server: facts?.[2] ?? '' });
    return {
      driver, product, version, threadId, address, watch,
      replica: connection.replica === true,
      query: (sql, what) => askInTime(driver, sql, options.statementTimeoutMs, watch).catch((error: unknown) => Promise.reject(asTidemarkError(error, what))),
      killQuery: () => kill(connection, options, (other) => other(`KILL QUERY ${threadId}`)),
      end: async () => {
        if (socketOf(driver).destroyed) return;
        await bounded(new Promise((resolve) => { driver.end(resolve); }), END_TIMEOUT_MS);
        cut(driver);
      },
      destroy: () => { cut(driver); },
    };
  } catch (error) {
    cut(driver);
    throw asTidemarkError(error, address);
  } finally {
    clearTimeout(timer);
  }
}
