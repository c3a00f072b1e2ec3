import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { TidemarkError } from '../../schemas/errors.ts';
import { destinationError } from './errors.ts';
import { LINE_LIMITS, LineWatch, type LineLimits } from './line-watch.ts';
import { migrate } from './migrations.ts';
import { OWN_BACKEND, type BackendId } from './session-views.ts';
import type { Session } from './session.ts';
import { parseDestinationUrl } from './url.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const IDLE_TIMEOUT_MS = 30_000;
/** A destination whose host is gone is noticed by the silence of its answers to these; the system's own default is two hours. */
const KEEP_ALIVE_DELAY_MS = 10_000;
const LOCK_TIMEOUT_MS = 30_000;
const SERVER_VERSION_MIN = 150_000;

export type { Session } from './session.ts';

export interface DestinationOptions {
  readonly sessionsMax: number;
  readonly applicationName: string;
  /** When a line that says nothing is given up. Default: {@link LINE_LIMITS}. */
  readonly lines?: LineLimits;
}

/**
 * A long statement (an index build) ends soon after its worker has died, so that the next attempt does not wait for it. Not every
 * platform of the server can tell; there the setting is left alone.
 */
const END_WITH_CLIENT = "do $$ begin perform set_config('client_connection_check_interval', '5s', false); exception when others then null; end $$";

/** The PostgreSQL database that receives rows and keeps the schema `tidemark`. Owner: whoever called {@link openDestination}. */
export class Destination {
  readonly #pool: pg.Pool;
  readonly #lines: LineWatch;
  #ready: Promise<void> | null = null;

  constructor(url: string, options: DestinationOptions) {
    this.#lines = new LineWatch({ ...parseDestinationUrl(url), application_name: `${options.applicationName} line watch` }, options.lines ?? LINE_LIMITS);
    this.#pool = new pg.Pool({
      ...parseDestinationUrl(url),
      max: options.sessionsMax,
      application_name: options.applicationName,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      idleTimeoutMillis: IDLE_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
      options: `-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=postgres -c client_encoding=UTF8 -c lock_timeout=${LOCK_TIMEOUT_MS} -c idle_in_transaction_session_timeout=600000 -c jit=off`,
      // The pool waits for it, which its types do not say.
      onConnect: (session): unknown => this.#begin(session as Session),
    });
    this.#pool.on('remove', (session) => this.#lines.forget(session));
    // A session that breaks while idle is replaced at the next use; without a listener the process would end.
    this.#pool.on('error', () => undefined);
  }

  /** The pool hands the session out when this has ended. */
  async #begin(session: Session): Promise<void> {
    this.#lines.add(session);
    try {
      await session.query(END_WITH_CLIENT);
      const { rows } = await session.query<BackendId>(OWN_BACKEND);
      if (rows[0] !== undefined) this.#lines.identify(session, rows[0]);
    } catch (error) {
      this.#lines.forget(session);
      throw error;
    }
  }

  /** Creates or migrates the schema `tidemark`, once for each process. */
  async ready(): Promise<void> {
    this.#ready ??= this.#prepare().catch((error: unknown) => {
      this.#ready = null;
      throw error;
    });
    await this.#ready;
  }

  async #prepare(): Promise<void> {
    await this.session('preparing the schema tidemark', async (session) => {
      await checkVersion(session);
      await migrate(session);
    });
  }

  /** Runs `work` on one session; a session that failed is not reused. Errors come out as {@link TidemarkError}s. */
  async session<T>(doing: string, work: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await this.rawSession(work);
    } catch (error) {
      throw destinationError(error, doing);
    }
  }

  /** Runs `work` in one transaction: commits when it returns, leaves nothing when it throws. */
  async transaction<T>(doing: string, work: (session: Session) => Promise<T>): Promise<T> {
    return this.session(doing, async (session) => {
      await session.query('begin');
      const result = await work(session);
      await session.query('commit');
      return result;
    });
  }

  /** {@link session} without translating errors. */
  async rawSession<T>(work: (session: Session) => Promise<T>): Promise<T> {
    const session = await this.#pool.connect();
    const onError = () => undefined;
    session.on('error', onError);
    let broken = true;
    try {
      const result = await work(session);
      broken = false;
      return result;
    } finally {
      session.off('error', onError);
      session.release(broken);
    }
  }

  async close(): Promise<void> {
    await this.#pool.end().catch(() => undefined);
  }
}

export function openDestination(url: string, options: Partial<DestinationOptions> = {}): Destination {
  return new Destination(url, { sessionsMax: options.sessionsMax ?? 8, applicationName: options.applicationName ?? 'tidemark' });
}

/** Identifies one attempt of an activity, so that a later one can tell its own marks from an earlier one's. */
export function newToken(): string {
  return randomUUID();
}

async function checkVersion(session: Session): Promise<void> {
  const { rows } = await session.query<{ v: number }>("select current_setting('server_version_num')::int as v");
  const version = rows[0]?.v ?? 0;
  if (version < SERVER_VERSION_MIN) {
    throw new TidemarkError('target.version_unsupported', `The destination is PostgreSQL ${Math.floor(version / 10_000)}; 15 or later is needed.`, { hint: 'Point destination.url at a newer server.' });
  }
}
