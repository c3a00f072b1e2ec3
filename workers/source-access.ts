/**
 * How workers come to a source: past its breaker, on its primary connection or, while that one's breaker is open, on its fallback. An attempt to
 * connect that fails because the source can't be reached counts, and so does a session that is lost while it is used.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { SourceSession } from '../connectors/connector.ts';
import { askBreaker, endProbe, findGuardedSource, noteFailure, noteSuccess, type BreakerRow, type ConnectionName, type Guarded } from '../destinations/postgres/breaker.ts';
import { unknownSource } from '../destinations/postgres/catalog.ts';
import { newToken, type Destination } from '../destinations/postgres/destination.ts';
import type { SessionLease, SessionLeases } from '../destinations/postgres/session-lease.ts';
import type { OpenedSource, SourceUse } from '../pipeline/engine.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { SourceSettings } from '../schemas/settings.ts';
import { breakerOpen, fallbackUnusable, isConnectionFailure, requireReplica } from './fallback.ts';

/** Once a probe has succeeded the source is most likely back: a step waits this long for the end of the next one rather than give up. */
const SETTLE_MS = 5_000;
const SETTLE_POLL_MS = 100;

export interface SourceAccessDeps {
  readonly destination: Destination;
  readonly leases: SessionLeases;
  connect(settings: SourceSettings, signal: AbortSignal): Promise<SourceSession>;
}

interface Access {
  readonly settings: SourceSettings;
  readonly breakers: readonly BreakerRow[];
  /** When the breakers were read, by the destination's clock. */
  readonly now: string;
}

/** Whose session it is to be; without a stream, of several of them. */
export interface SessionUser {
  readonly source: string;
  readonly stream?: string | undefined;
  /** Not where it would have to wait, nor where others do: then `source.sessions_busy`. */
  readonly spare?: boolean;
}

interface Pass {
  readonly guarded: Guarded;
  /** Of a probe; null where the breaker is closed. */
  readonly token: string | null;
}

/** Opens a session on a source of the catalog; its end frees its place among `sessions_max`. See {@link Engine.openSource}. */
export async function openGuarded(deps: SourceAccessDeps, user: SessionUser, signal: AbortSignal, use: SourceUse): Promise<OpenedSource> {
  const access = limitedTo(await readAccess(deps.destination, user.source), user.stream);
  const names = connectionsFor(access, use);
  if (names.every((name) => isShut(access, name))) throw breakerOpen(access.settings, access.breakers, use);
  const lease = await takePlace(deps.leases, access.settings, user, signal);
  try {
    const opened = await openFirst(deps, access, names, AbortSignal.any([signal, lease.lost]), use);
    return releasing(opened, lease, signal);
  } catch (error) {
    await lease.release();
    throw whyEnded(error, lease, signal);
  }
}

/** The stream's statements end at its own timeout. */
function limitedTo(access: Access, stream: string | undefined): Access {
  const own = access.settings.streams.find((each) => each.name === stream);
  return own === undefined ? access : { ...access, settings: { ...access.settings, statementTimeoutSeconds: own.statementTimeoutSeconds } };
}

/** A place among the stream's own sessions first, where it may have fewer than its source: who waits for one holds none of the source's. */
async function takePlace(leases: SessionLeases, settings: SourceSettings, { stream, spare = false }: SessionUser, signal: AbortSignal): Promise<SessionLease> {
  const own = settings.streams.find((each) => each.name === stream);
  const take = (name: string, max: number) => leases.acquire(name, max, signal, { spare });
  if (own === undefined || own.sessionsMax >= settings.sessionsMax) return take(settings.id, settings.sessionsMax);
  const ofStream = await take(`stream ${own.name} of ${settings.id}`, own.sessionsMax);
  try {
    const ofSource = await take(settings.id, settings.sessionsMax);
    return { lost: AbortSignal.any([ofStream.lost, ofSource.lost]), release: async () => void (await Promise.all([ofSource.release(), ofStream.release()])) };
  } catch (error) {
    await ofStream.release();
    throw error;
  }
}

async function readAccess(destination: Destination, sourceId: string): Promise<Access> {
  const access = await destination.session('reading the catalog', (session) => findGuardedSource(session, sourceId));
  if (access !== null) return access;
  throw unknownSource(sourceId);
}

function connectionsFor({ settings }: Access, use: SourceUse): readonly ConnectionName[] {
  return settings.fallback !== null && use === 'sync' ? ['primary', 'fallback'] : ['primary'];
}

/** No probe is due, nor will one be within moments. */
function isShut({ breakers }: Access, connection: ConnectionName): boolean {
  const row = breakers.find((each) => each.connection === connection);
  return row !== undefined && row.state !== 'closed' && !row.due && !row.settling;
}

/** The first connection that lets a session through. A probe that fails is no reason to fail where the next connection may do. */
async function openFirst(deps: SourceAccessDeps, access: Access, names: readonly ConnectionName[], signal: AbortSignal, use: SourceUse): Promise<OpenedSource> {
  for (const [index, connection] of names.entries()) {
    const pass = isShut(access, connection) ? null : await passBreaker(deps, access, connection, signal);
    if (pass === null) continue;
    try {
      return await connectThrough(deps, access, pass, signal);
    } catch (error) {
      if (pass.token === null || index + 1 === names.length || !isConnectionFailure(error)) throw error;
    }
  }
  throw breakerOpen(access.settings, (await readAccess(deps.destination, access.settings.id)).breakers, use);
}

/** Null where nobody may connect now. */
async function passBreaker({ destination }: SourceAccessDeps, access: Access, connection: ConnectionName, signal: AbortSignal): Promise<Pass | null> {
  const guarded = { source: access.settings.id, connection };
  const row = access.breakers.find((each) => each.connection === connection);
  if (row === undefined || row.state === 'closed') return { guarded, token: null };
  const token = newToken();
  for (let waited = 0; ; waited += SETTLE_POLL_MS) {
    const answer = await destination.session('asking a breaker', (session) => askBreaker(session, guarded, token));
    if (answer !== 'open') return { guarded, token: answer === 'probe' ? token : null };
    if (waited >= SETTLE_MS || !(await isSettling(destination, guarded))) return null;
    await sleep(SETTLE_POLL_MS, undefined, { signal });
  }
}

async function isSettling(destination: Destination, { source, connection }: Guarded): Promise<boolean> {
  const access = await readAccess(destination, source);
  const row = access.breakers.find((each) => each.connection === connection);
  return row === undefined || row.state === 'closed' || row.settling || row.due;
}

async function connectThrough(deps: SourceAccessDeps, access: Access, pass: Pass, signal: AbortSignal): Promise<OpenedSource> {
  const { settings, breakers } = access;
  const { guarded, token } = pass;
  const { destination } = deps;
  const onFallback = guarded.connection === 'fallback';
  let session: SourceSession;
  try {
    session = await deps.connect(onFallback ? { ...settings, connection: settings.fallback ?? {} } : settings, signal);
  } catch (error) {
    await countFailedAttempt(deps, settings, pass, error);
    throw onFallback ? fallbackUnusable(settings.id, error) : error;
  }
  try {
    if (onFallback) await requireReplica(destination, settings.id, session);
    const before = breakers.find((row) => row.connection === guarded.connection);
    const served = breakers.some((row) => row.serving);
    if (token !== null || served !== onFallback || (before?.failures ?? 0) > 0) await noteSuccess(destination, guarded, settings.breaker, token);
    return Object.assign(session, { connection: guarded.connection, failed: (error: unknown) => afterUse(destination, access, guarded, error) });
  } catch (error) {
    await session.close();
    if (token !== null) await destination.session('giving a probe up', (held) => endProbe(held, guarded, token)).catch(() => undefined);
    throw error;
  }
}

async function countFailedAttempt({ destination }: SourceAccessDeps, settings: SourceSettings, { guarded, token }: Pass, error: unknown): Promise<void> {
  if (isConnectionFailure(error)) await noteFailure(destination, guarded, settings.breaker, { code: error.code, openedAt: null });
  else if (token !== null) await destination.session('giving a probe up', (session) => endProbe(session, guarded, token));
}

/** Counts a session that was lost in use. That it could not be counted is no news beside the error itself. */
async function afterUse(destination: Destination, { settings, now }: Access, guarded: Guarded, error: unknown): Promise<unknown> {
  if (isConnectionFailure(error)) await noteFailure(destination, guarded, settings.breaker, { code: error.code, openedAt: now }).catch(() => undefined);
  return guarded.connection === 'fallback' ? fallbackUnusable(settings.id, error) : error;
}

/** The session, whose end is the end of its lease. */
function releasing(session: OpenedSource, lease: SessionLease, signal: AbortSignal): OpenedSource {
  const close = session.close.bind(session);
  const failed = session.failed?.bind(session);
  return Object.assign(session, {
    close: () => close().finally(() => lease.release()),
    failed: async (error: unknown) => {
      const why = whyEnded(error, lease, signal);
      return failed === undefined ? why : failed(why);
    },
  });
}

/** What a connector says of a read that ends when its lease is lost: neither was it cancelled by anybody, nor is its source at fault. */
const ENDED: readonly string[] = ['batch.cancelled', 'source.read_interrupted', 'source.connection_lost'];

function whyEnded(error: unknown, lease: SessionLease, signal: AbortSignal): unknown {
  return lease.lost.aborted && !signal.aborted && error instanceof TidemarkError && ENDED.includes(error.code) ? lease.lost.reason : error;
}
