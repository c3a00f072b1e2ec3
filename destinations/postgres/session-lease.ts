/**
 * How many sessions all workers together hold at a source. Each session holds one of the source's numbered slots: a session-level advisory
 * lock of the destination, which PostgreSQL itself frees when the worker that held it is gone. One session of the destination keeps all slots
 * of a process (docs/adr/0006-sessions-at-a-source.md).
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Destination } from './destination.ts';
import { destinationError } from './errors.ts';
import type { Session } from './session.ts';

/** One call waits this long for a slot; then the step fails, and is tried again as any that was throttled. */
const WAIT_MS = 30_000;
const WAIT_POLL_MS = 200;
const HEARTBEAT_MS = 10_000;
/** First half of the key under which those that wait are seen; slots have the hash of their source there. */
const WAITING_CLASS = 731_057_702;
/** A worker whose host is gone without a word loses its slots after about a minute. */
const KEEPALIVE = 'set tcp_keepalives_idle = 20; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3';

/** Sessions of the destination that {@link KEEPALIVE} was told to: keepers come and go with polls, their sessions stay in the pool. */
const patient = new WeakSet<Session>();

/** The right to one session at a source. */
export interface SessionLease {
  /** Aborts when the slot is lost: the session has to end, since another worker may open one now. */
  readonly lost: AbortSignal;
  /** Frees the slot; never throws, safe to call twice. */
  release(): Promise<void>;
}

/** The session of the destination that keeps this process's slots, while there are any. */
interface Keeper {
  /** One statement after another: many leases share the session. */
  readonly query: (text: string, values?: readonly number[]) => Promise<{ rows: readonly { done: boolean }[] }>;
  readonly lost: AbortController;
  /** Slots that are held or being tried: an advisory lock may be taken twice by the session that holds it. */
  readonly taken: Map<string, Set<number>>;
  users: number;
  end(error?: Error): void;
}

/** Leases of one process. */
export class SessionLeases {
  readonly #destination: Destination;
  #keeper: Promise<Keeper> | null = null;

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  /**
   * Waits, bounded, for one of `max` slots of the source; a spare one is not waited for, and not taken where others wait. Throws `source.sessions_busy`, and the
   * signal's reason when it aborts.
   */
  async acquire(source: string, max: number, signal: AbortSignal, { spare = false }: { readonly spare?: boolean } = {}): Promise<SessionLease> {
    const keeper = await this.#enter();
    try {
      const slot = spare ? await this.#trySpare(keeper, source, max) : ((await this.#trySlots(keeper, source, max)) ?? (await this.#wait(keeper, source, max, signal)));
      return this.#lease(keeper, source, slot);
    } catch (error) {
      this.#leave(keeper);
      throw destinationError(error, 'taking a session of a source');
    }
  }

  async #enter(): Promise<Keeper> {
    const opening = (this.#keeper ??= openKeeper(this.#destination, () => this.#forget(opening)));
    const keeper = await opening.catch((error: unknown) => {
      this.#forget(opening);
      throw destinationError(error, 'taking a session of a source');
    });
    if (this.#keeper !== opening) return this.#enter();
    keeper.users += 1;
    return keeper;
  }

  #forget(opening: Promise<Keeper>): void {
    if (this.#keeper === opening) this.#keeper = null;
  }

  #leave(keeper: Keeper): void {
    keeper.users -= 1;
    if (keeper.users > 0) return;
    if (!keeper.lost.signal.aborted) this.#keeper = null;
    keeper.end();
  }

  async #trySlots(keeper: Keeper, source: string, max: number): Promise<number | null> {
    const taken = takenOf(keeper, source);
    for (let slot = 1; slot <= max; slot += 1) {
      if (taken.has(slot)) continue;
      taken.add(slot);
      const got = await ask(keeper, 'pg_try_advisory_lock', keyOf(source), slot).catch((error: unknown) => {
        taken.delete(slot);
        throw error;
      });
      if (got) return slot;
      taken.delete(slot);
    }
    return null;
  }

  async #trySpare(keeper: Keeper, source: string, max: number): Promise<number> {
    const slot = (await isWaitedFor(keeper, source)) ? null : await this.#trySlots(keeper, source, max);
    if (slot === null) throw sessionsBusy(source, max);
    return slot;
  }

  async #wait(keeper: Keeper, source: string, max: number, signal: AbortSignal): Promise<number> {
    await ask(keeper, 'pg_try_advisory_lock_shared', WAITING_CLASS, keyOf(source));
    try {
      for (let waited = 0; waited < WAIT_MS; waited += WAIT_POLL_MS) {
        await sleep(WAIT_POLL_MS);
        signal.throwIfAborted();
        keeper.lost.signal.throwIfAborted();
        const slot = await this.#trySlots(keeper, source, max);
        if (slot !== null) return slot;
      }
    } finally {
      await ask(keeper, 'pg_advisory_unlock_shared', WAITING_CLASS, keyOf(source)).catch(() => undefined);
    }
    throw sessionsBusy(source, max);
  }

  #lease(keeper: Keeper, source: string, slot: number): SessionLease {
    let held = true;
    return {
      lost: keeper.lost.signal,
      release: async () => {
        if (!held) return;
        held = false;
        if (!keeper.lost.signal.aborted) await ask(keeper, 'pg_advisory_unlock', keyOf(source), slot).catch(() => undefined);
        takenOf(keeper, source).delete(slot);
        this.#leave(keeper);
      },
    };
  }
}

function takenOf(keeper: Keeper, source: string): Set<number> {
  const taken = keeper.taken.get(source) ?? new Set<number>();
  keeper.taken.set(source, taken);
  return taken;
}

function sessionsBusy(source: string, max: number): TidemarkError {
  return new TidemarkError('source.sessions_busy', `All ${max} sessions that ${source} may have are in use.`, {
    hint: 'It is tried again. Raise sessions_max if the source can take more, or let its syncs start at different times.',
  });
}

/** Advisory locks of two halves in this database, of the class of those that wait. */
const WAITS = "locktype = 'advisory' and objsubid = 2 and classid = $1 and database = (select oid from pg_database where datname = current_database())";

/** Of the sources, those for which somebody waits at this moment. */
export async function listWaiting(session: Session, sources: readonly string[]): Promise<ReadonlySet<string>> {
  const { rows } = await session.query<{ key: string }>(
    `select distinct objid::bigint::text as key from pg_locks where ${WAITS}`,
    [WAITING_CLASS],
  );
  const keys = new Set(rows.map(({ key }) => BigInt.asIntN(32, BigInt(key))));
  return new Set(sources.filter((source) => keys.has(BigInt(keyOf(source)))));
}

/** 32 bits that stand for a source. Two sources that share them would share their slots: slower, never more sessions. */
function keyOf(source: string): number {
  return createHash('sha256').update(`tidemark session ${source}`).digest().readInt32BE();
}

/** True where anybody waits for a slot of the source, in whatever process. */
function isWaitedFor(keeper: Keeper, source: string): Promise<boolean> {
  return tell(keeper, `select exists (select from pg_locks where ${WAITS} and objid = ($2::bigint & 4294967295)::oid) as done`, WAITING_CLASS, keyOf(source));
}

function ask(keeper: Keeper, lock: string, first: number, second: number): Promise<boolean> {
  return tell(keeper, `select ${lock}($1, $2) as done`, first, second);
}

/** The keeper's session answers at once. Where it can't, it is of no use any more. */
async function tell(keeper: Keeper, question: string, first: number, second: number): Promise<boolean> {
  try {
    const { rows } = await keeper.query(question, [first, second]);
    return rows[0]!.done;
  } catch (error) {
    keeper.end(error instanceof Error ? error : new Error(String(error)));
    throw error;
  }
}

function oneByOne(session: Session): Keeper['query'] {
  let last: Promise<unknown> = Promise.resolve();
  return (text, values = []) => {
    const answer = last.then(() => session.query<{ done: boolean }>(text, [...values]));
    last = answer.catch(() => undefined);
    return answer;
  };
}

function openKeeper(destination: Destination, onLost: () => void): Promise<Keeper> {
  return new Promise((resolve, reject) => {
    const lost = new AbortController();
    const kept = destination.rawSession(async (session) => {
      if (!patient.has(session)) await session.query(KEEPALIVE);
      patient.add(session);
      const { promise, resolve: done, reject: fail } = Promise.withResolvers<void>();
      const end = (error?: Error) => (error === undefined ? done() : fail(error));
      const query = oneByOne(session);
      const keeper: Keeper = { query, lost, taken: new Map(), users: 0, end };
      const timer = setInterval(() => void query('select').catch(end), HEARTBEAT_MS).unref();
      session.once('error', end);
      session.once('end', onEnd);
      resolve(keeper);
      await promise.finally(() => {
        clearInterval(timer);
        session.off('error', end);
        session.off('end', onEnd);
      });

      function onEnd() {
        end(new Error('the session has ended'));
      }
    });
    kept.catch((error: unknown) => {
      onLost();
      lost.abort(new TidemarkError('target.connection_lost', 'The destination no longer keeps the sessions of this worker.', { hint: 'What they read is read again.', cause: error }));
      reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
}
