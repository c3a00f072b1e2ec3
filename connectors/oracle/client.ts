import { TidemarkError } from '../../schemas/errors.ts';
import type { SessionOptions } from '../connector.ts';
import { addressOf, attributesOf, type OracleSettings } from './connection.ts';
import { shortText, type FetchTypeHandler, type OracleBind, type OracleConnection, type OracleDriver, type OracleExecuteOptions, type OracleResultSet, type OracleRow } from './driver.ts';
import { toConnectError, toTidemarkError } from './errors.ts';
import { quoteName } from './names.ts';
import type { Statement } from './binds.ts';

/** How long the server may take to answer a cancel or a close before the session is given up. */
const GRACE_MS = 3000;

/** One short answer never has more rows than this; longer ones are read by {@link OracleClient.open}. */
const ROWS_PER_FETCH = 1000;

/** Forms of texts and orders do not depend on the server's or the user's defaults. */
const SESSION_STATEMENTS = [
  "ALTER SESSION SET NLS_CALENDAR = 'GREGORIAN' NLS_NUMERIC_CHARACTERS = '.,' NLS_DATE_LANGUAGE = 'AMERICAN' NLS_SORT = BINARY NLS_COMP = BINARY",
  "ALTER SESSION SET NLS_DATE_FORMAT = 'SYYYY-MM-DD HH24:MI:SS' NLS_TIMESTAMP_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF9' NLS_TIMESTAMP_TZ_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM'",
  "ALTER SESSION SET TIME_ZONE = '+00:00'",
];

/** Resolves like `work`, but at the latest after `limitMs`; a late result of `work` is dropped. */
async function within<T>(limitMs: number, work: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), limitMs);
  });
  work.catch(() => undefined);
  return Promise.race([work, limit]).finally(() => clearTimeout(timer));
}

/** One connection: statements with text binds, errors of ours, cancel and close in bounded time. */
export class OracleClient {
  readonly #driver: OracleDriver;
  readonly #connection: OracleConnection;
  readonly #options: SessionOptions;
  #closed = false;
  #inFlight = 0;
  #inSnapshot = false;

  private constructor(driver: OracleDriver, connection: OracleConnection, options: SessionOptions) {
    this.#driver = driver;
    this.#connection = connection;
    this.#options = options;
  }

  static async open(driver: OracleDriver, settings: OracleSettings, options: SessionOptions): Promise<OracleClient> {
    if (options.signal.aborted) throw cancelled(addressOf(settings));
    let connection: OracleConnection;
    try {
      connection = await connectWithin(driver, settings, options);
    } catch (error) {
      throw toConnectError(error, addressOf(settings));
    }
    const client = new OracleClient(driver, connection, options);
    try {
      await client.#prepare(settings);
    } catch (error) {
      await client.close();
      throw error;
    }
    return client;
  }

  get serverVersion(): string {
    return this.#connection.oracleServerVersionString;
  }

  async #prepare(settings: OracleSettings): Promise<void> {
    const { applicationName, statementTimeoutMs } = this.#options;
    this.#connection.callTimeout = statementTimeoutMs;
    this.#connection.module = 'tidemark';
    this.#connection.action = applicationName.slice(0, 32);
    this.#connection.clientInfo = applicationName.slice(0, 64);
    for (const sql of SESSION_STATEMENTS) await this.run(sql);
    if (settings.schema !== undefined) await this.run(`ALTER SESSION SET CURRENT_SCHEMA = ${quoteName(settings.schema)}`, `schema ${settings.schema}`);
  }

  /** A statement without rows. */
  async run(sql: string, where = 'the session'): Promise<void> {
    await this.#call(where, () => this.#connection.execute(sql, {}, this.#executeOptions(ROWS_PER_FETCH, false)));
  }

  /** All rows of a short answer. `where` names what is asked for, in error messages. */
  async rows(statement: Statement, where: string): Promise<readonly OracleRow[]> {
    const result = await this.#call(where, () => this.#connection.execute(statement.sql, this.#binds(statement), this.#executeOptions(ROWS_PER_FETCH, false)));
    return result.rows ?? [];
  }

  /** The first row of an answer that always has one; every item is text or NULL. */
  async texts(statement: Statement, where: string): Promise<readonly (string | null)[]> {
    const row = (await this.rows(statement, where))[0] ?? [];
    return row.map(shortText);
  }

  /** Rows to be fetched piece by piece; the caller closes the result. */
  async open(statement: Statement, fetchRows: number, where: string): Promise<OracleResultSet> {
    const { resultSet } = await this.#call(where, () => this.#connection.execute(statement.sql, this.#binds(statement), this.#executeOptions(fetchRows, true)));
    if (resultSet === undefined) throw new TidemarkError('source.protocol', `${where}: the driver returned no result.`);
    return {
      getRows: (count) => this.#call(where, () => resultSet.getRows(count)),
      close: () => this.#call(where, () => resultSet.close()),
    };
  }

  /** A call of the driver on this connection outside of statements (a piece of a LOB). */
  during<T>(where: string, call: () => Promise<T>): Promise<T> {
    return this.#call(where, call);
  }

  /** Begins a READ ONLY transaction: all statements until {@link endSnapshot} see one SCN. Needs no privilege, unlike flashback. */
  async snapshot(): Promise<void> {
    await this.endSnapshot();
    await this.run('SET TRANSACTION READ ONLY');
    this.#inSnapshot = true;
  }

  /** From here on each statement sees what is committed when it begins. */
  async endSnapshot(): Promise<void> {
    if (!this.#inSnapshot) return;
    await this.#call('the session', () => this.#connection.rollback());
    this.#inSnapshot = false;
  }

  /** Makes the running call, if any, fail and the server stop working on it. Bounded; never throws. */
  async cancel(): Promise<void> {
    if (!this.#closed && this.#inFlight > 0) await within(GRACE_MS, this.#connection.break()).catch(() => undefined);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await within(GRACE_MS, this.#connection.close({ drop: true })).catch(() => undefined);
  }

  async #call<T>(where: string, call: () => Promise<T>): Promise<T> {
    const { signal } = this.#options;
    if (this.#closed) throw new TidemarkError('source.connection_lost', `${where}: The session is closed.`);
    if (signal.aborted) throw cancelled(where);
    this.#inFlight += 1;
    const running = call().finally(() => {
      this.#inFlight -= 1;
    });
    let giveUp: (error: TidemarkError) => void = () => undefined;
    const givenUp = new Promise<never>((_, reject) => {
      giveUp = reject;
    });
    const onAbort = (): void => void this.cancel().then(() => within(GRACE_MS, running)).then(() => giveUp(cancelled(where)), () => giveUp(cancelled(where)));
    signal.addEventListener('abort', onAbort, { once: true });
    const deadline = this.#deadline(() => giveUp(new TidemarkError('source.connection_lost', `${where}: The server did not answer, not even a cancel.`)));
    try {
      return await Promise.race([running, givenUp]);
    } catch (error) {
      throw signal.aborted ? cancelled(where) : toTidemarkError(error, where);
    } finally {
      clearTimeout(deadline);
      signal.removeEventListener('abort', onAbort);
      running.catch(() => undefined);
      givenUp.catch(() => undefined);
    }
  }

  /** The driver's own limit sends a cancel and waits for its answer, for ever where the network swallows it. */
  #deadline(expired: () => void): NodeJS.Timeout | undefined {
    const { statementTimeoutMs } = this.#options;
    return statementTimeoutMs === 0 ? undefined : setTimeout(expired, statementTimeoutMs + GRACE_MS);
  }

  #binds(statement: Statement): Record<string, OracleBind> {
    const { BIND_IN, DB_TYPE_VARCHAR, DB_TYPE_NVARCHAR } = this.#driver;
    const entries = Object.entries(statement.binds).map(([name, { text, national }]) => [name, { dir: BIND_IN, type: national ? DB_TYPE_NVARCHAR : DB_TYPE_VARCHAR, val: text }] as const);
    return Object.fromEntries(entries);
  }

  #executeOptions(fetchRows: number, resultSet: boolean): OracleExecuteOptions {
    return { outFormat: this.#driver.OUT_FORMAT_ARRAY, resultSet, fetchArraySize: fetchRows, prefetchRows: fetchRows, maxRows: 0, fetchTypeHandler: exactNumbers(this.#driver) };
  }
}

/** NUMBER as the driver's own text: a JavaScript number holds 15 of its 40 digits. */
export function exactNumbers(driver: Pick<OracleDriver, 'DB_TYPE_NUMBER' | 'DB_TYPE_VARCHAR'>): FetchTypeHandler {
  return ({ dbType }) => (dbType === driver.DB_TYPE_NUMBER ? { type: driver.DB_TYPE_VARCHAR } : undefined);
}

function cancelled(where: string): TidemarkError {
  return new TidemarkError('batch.cancelled', `${where}: The read was cancelled.`);
}

/** The driver's time-outs do not cover every step of a login; this limit does. A connection that comes too late is closed. */
async function connectWithin(driver: OracleDriver, settings: OracleSettings, options: SessionOptions): Promise<OracleConnection> {
  const { signal, connectTimeoutMs } = options;
  const connecting = driver.getConnection(attributesOf(settings, options));
  let stop: () => void = () => undefined;
  const stopped = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
  });
  signal.addEventListener('abort', stop, { once: true });
  const connection = await Promise.race([within(connectTimeoutMs + GRACE_MS, connecting), stopped]).finally(() => signal.removeEventListener('abort', stop));
  if (connection !== undefined) return connection;
  connecting.then((late) => late.close({ drop: true })).catch(() => undefined);
  throw signal.aborted ? cancelled(addressOf(settings)) : toTidemarkError({ code: 'NJS-510' }, addressOf(settings));
}
