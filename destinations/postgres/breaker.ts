/**
 * The circuit breaker of a source, kept in the destination so that all workers share it and everybody can see it. Each of the two connections
 * that a source may have is guarded by a row of its own; no row means closed and without a failure. All times are the destination's clock.
 */
import type { ErrorCode } from '../../schemas/errors.ts';
import type { Breaker as Limits, SourceSettings } from '../../schemas/settings.ts';
import type { Destination } from './destination.ts';
import { emitEvent } from './events.ts';
import { isoUtc } from './runs.ts';
import type { Session } from './session.ts';

export type ConnectionName = 'primary' | 'fallback';

export interface BreakerRow {
  readonly source: string;
  readonly connection: ConnectionName;
  readonly state: 'closed' | 'open' | 'half_open';
  /** Connection failures in a row. */
  readonly failures: number;
  /** Of the probes since it is half open. */
  readonly successes: number;
  /** Since when it is not closed; ISO 8601, UTC. Null where it is closed. */
  readonly openedAt: string | null;
  /** From when on the next probe is let through; null where it is closed. */
  readonly retryAt: string | null;
  readonly lastError: ErrorCode | null;
  /** The last session was opened on this connection; only ever true of a fallback. */
  readonly serving: boolean;
  /** A probe may be let through now. */
  readonly due: boolean;
  /** A probe has succeeded and another is on its way: its end will soon be known. */
  readonly settling: boolean;
}

/** One connection of one source. */
export interface Guarded {
  readonly source: string;
  readonly connection: ConnectionName;
}

/** A probe whose worker is gone without a word gives its place up after this long: longer than any attempt to connect. */
const PROBE_MAX = '30 seconds';

const DUE = "((state = 'open' and retry_at <= clock_timestamp()) or (state = 'half_open' and (probe is null or probe_until <= clock_timestamp())))";
const COLUMNS = `source, connection, state, failures, successes, ${isoUtc('opened_at')} as "openedAt", ${isoUtc('retry_at')} as "retryAt", last_error as "lastError", serving,
  ${DUE} as due, state = 'half_open' and successes > 0 and not ${DUE} as settling`;

/** Breakers of the sources, or of all. */
export async function listBreakers(session: Session, sources: readonly string[] | null): Promise<BreakerRow[]> {
  const { rows } = await session.query<BreakerRow>(`select ${COLUMNS} from tidemark.breaker where $1::text[] is null or source = any($1) order by source, connection desc`, [sources]);
  return rows;
}

/** A source as applied with its breakers, in one question; `now` is the destination's clock. Null where there is no such source. */
export async function findGuardedSource(session: Session, source: string): Promise<{ readonly settings: SourceSettings; readonly breakers: readonly BreakerRow[]; readonly now: string } | null> {
  const { rows } = await session.query<{ settings: SourceSettings; breakers: readonly BreakerRow[] | null; now: string }>(
    `select s.settings, clock_timestamp()::text as now, (select json_agg(b) from (select ${COLUMNS} from tidemark.breaker where source = $1) b) as breakers from tidemark.source s where s.id = $1`,
    [source],
  );
  return rows[0] ? { ...rows[0], breakers: rows[0].breakers ?? [] } : null;
}

/**
 * Asks to connect. `closed`: everybody may. `probe`: this caller alone may now, and says afterwards how it went; `token` identifies it. `open`: nobody
 * may, or somebody else is trying just now.
 */
export async function askBreaker(session: Session, { source, connection }: Guarded, token: string): Promise<'closed' | 'probe' | 'open'> {
  const { rowCount } = await session.query(
    `update tidemark.breaker set state = 'half_open', probe = $3, probe_until = clock_timestamp() + interval '${PROBE_MAX}', changed_at = case when state = 'open' then clock_timestamp() else changed_at end
     where source = $1 and connection = $2 and ${DUE}`,
    [source, connection, token],
  );
  if (rowCount === 1) return 'probe';
  const { rows } = await session.query<{ closed: boolean }>("select not exists (select from tidemark.breaker where source = $1 and connection = $2 and state <> 'closed') as closed", [source, connection]);
  return rows[0]!.closed ? 'closed' : 'open';
}

export interface ConnectionFailure {
  readonly code: ErrorCode;
  /**
   * For a session that was lost while it was used: when it was opened. Sessions that were open side by side and are lost together count once:
   * only what was opened after the last failure tells anything new. Null for an attempt to connect.
   */
  readonly openedAt: string | null;
}

interface Row {
  readonly state: BreakerRow['state'];
  readonly failures: number;
  readonly stale: boolean;
}

/** Counts a connection failure: opens at the limit, and at any failure while half open. Nothing happens where the source has left the catalog. */
export async function noteFailure(destination: Destination, guarded: Guarded, limits: Limits, failure: ConnectionFailure): Promise<void> {
  const { source, connection } = guarded;
  await destination.transaction('counting a connection failure', async (session) => {
    await session.query('insert into tidemark.breaker (source, connection) select id, $2 from tidemark.source where id = $1 on conflict do nothing', [source, connection]);
    const { rows } = await session.query<Row>('select state, failures, coalesce($3::timestamptz <= failed_at, false) as stale from tidemark.breaker where source = $1 and connection = $2 for update', [source, connection, failure.openedAt]);
    const row = rows[0];
    if (row === undefined || row.stale) return;
    const failures = row.failures + 1;
    const opens = row.state === 'half_open' || (row.state === 'closed' && failures >= limits.failures);
    await session.query(
      `update tidemark.breaker set failures = $3, last_error = $4, failed_at = clock_timestamp(), changed_at = case when $5 then clock_timestamp() else changed_at end,
         state = case when $5 then 'open' else state end, successes = case when $5 then 0 else successes end, probe = case when $5 then null else probe end, serving = serving and not $5,
         opened_at = case when $5 then coalesce(opened_at, clock_timestamp()) else opened_at end, retry_at = case when $5 then clock_timestamp() + make_interval(secs => $6) else retry_at end
       where source = $1 and connection = $2`,
      [source, connection, failures, failure.code, opens, limits.cooldownSeconds],
    );
    if (opens && row.state === 'closed') await emitEvent(session, { type: 'BreakerOpened', source, stream: null, data: { connection, failures, lastError: failure.code, cooldownSeconds: limits.cooldownSeconds } });
  });
}

/** Counts a session that could be opened. `token`: of the probe that opened it, or null. Closes once enough probes have succeeded. */
export async function noteSuccess(destination: Destination, { source, connection }: Guarded, limits: Limits, token: string | null): Promise<void> {
  await destination.transaction('counting a connection', async (session) => {
    const serves = connection === 'fallback';
    if (serves) await session.query("insert into tidemark.breaker (source, connection) select id, 'fallback' from tidemark.source where id = $1 on conflict do nothing", [source]);
    await session.query("update tidemark.breaker set serving = $2 where source = $1 and connection = 'fallback' and serving <> $2", [source, serves]);
    await session.query("update tidemark.breaker set failures = 0 where source = $1 and connection = $2 and state = 'closed' and failures > 0", [source, connection]);
    if (token === null) return;
    const { rows } = await session.query<{ successes: number }>(
      "update tidemark.breaker set successes = successes + 1, probe = null where source = $1 and connection = $2 and state = 'half_open' and probe = $3 returning successes",
      [source, connection, token],
    );
    if (rows[0] && rows[0].successes >= limits.successes) await close(session, source, connection, false);
  });
}

/** Gives up a probe that has told nothing: cancelled, or refused for another reason than that the source can't be reached. */
export async function endProbe(session: Session, { source, connection }: Guarded, token: string): Promise<void> {
  await session.query("update tidemark.breaker set probe = null where source = $1 and connection = $2 and state = 'half_open' and probe = $3", [source, connection, token]);
}

/** Closes the breakers of a source that are not closed, by a person's will. Returns which they were. */
export async function forceClosed(session: Session, source: string): Promise<ConnectionName[]> {
  const { rows } = await session.query<{ connection: ConnectionName }>("select connection from tidemark.breaker where source = $1 and state <> 'closed' order by connection desc for update", [source]);
  for (const { connection } of rows) await close(session, source, connection, true);
  return rows.map(({ connection }) => connection);
}

async function close(session: Session, source: string, connection: ConnectionName, forced: boolean): Promise<void> {
  await session.query(
    `update tidemark.breaker set state = 'closed', failures = 0, successes = 0, opened_at = null, retry_at = null, probe = null, probe_until = null, changed_at = clock_timestamp()
     where source = $1 and connection = $2`,
    [source, connection],
  );
  await emitEvent(session, { type: 'BreakerClosed', source, stream: null, data: { connection, forced } });
}

/** Identities of the servers that the source's positions were taken on; empty before anything was read. */
export async function listServers(session: Session, source: string): Promise<string[]> {
  const { rows } = await session.query<{ server: string }>(
    `select position->>'server' as server from tidemark.watermark where source = $1 and position is not null
     union select position->>'server' from tidemark.generation where source = $1 and state = 'building' and position is not null`,
    [source],
  );
  return rows.map(({ server }) => server);
}
