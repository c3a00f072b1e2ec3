/** How every stream stands, from the destination alone: no source and no Temporal is asked. */
import { listSources, type CatalogSource } from '../destinations/postgres/catalog.ts';
import { lastScanSql, type LastScan } from '../destinations/postgres/delete-scans.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { listBreakers, type ConnectionName } from '../destinations/postgres/breaker.ts';
import { listWaiting } from '../destinations/postgres/session-lease.ts';
import { lastReconcileSql, type LastReconcile } from '../destinations/postgres/reconcile-runs.ts';
import { isoUtc } from '../destinations/postgres/runs.ts';
import { laneOf } from '../destinations/postgres/webhooks.ts';
import type { Session } from '../destinations/postgres/session.ts';
import { shellWord } from '../schemas/command-words.ts';
import type { ErrorInfo } from '../schemas/errors.ts';
import type { Guarantee } from '../schemas/position.ts';
import type { StreamStatus } from '../schemas/run.ts';
import { connectionOf, type BreakerReport, type SourceConnection } from './breaker.ts';
import { stalledWarnings } from './events/stalled.ts';
import { overdueWarning, quietWarning } from './overdue.ts';
import { lagSeconds, stateOf, warningsOf, type LastRun, type StreamFacts } from './stream-state.ts';
import { chooseSources } from './choose-sources.ts';
import { countTargets, type RowCount } from './target-rows.ts';

/** One line of `status`. */
export interface StreamReport {
  readonly source: string;
  readonly stream: string;
  readonly target: string;
  readonly status: StreamStatus;
  readonly watermark: string | null;
  /** Null before the first sync. */
  readonly guarantee: Guarantee | null;
  readonly lagSeconds: number | null;
  /** `at`: when it ended, or began where it runs; ISO 8601, UTC. */
  readonly lastRun: { readonly runId: string; readonly at: string; readonly read: number; readonly written: number } | null;
  /** Rows of the target; an estimate from a sample where `rowsExact` is false. Null where there is none yet, or it can't be read now. */
  readonly rows: number | null;
  readonly rowsExact: boolean;
  readonly error: ErrorInfo | null;
  /** The command to go on with; null where nothing is to be done. */
  readonly next: string | null;
  readonly warnings: readonly string[];
  /** Null where the stream has no objective. `since`: ISO 8601, UTC, where it is missed. */
  readonly freshness: FreshnessReport | null;
  /** Of the source's primary connection, shared by its streams. */
  readonly breaker: BreakerReport;
  /** The connection that the source was last read on. */
  readonly connection: ConnectionName;
  /** The last scan for rows that are deleted at the source; null where there was none. */
  readonly lastScan: LastScan | null;
  /** What the last comparison of source and target found; null where there was none. */
  readonly lastReconcile: LastReconcile | null;
}

interface StatusRow extends Omit<StreamFacts, 'enabled' | 'sourcePaused' | 'scheduled' | 'last'> {
  readonly target: string;
  readonly objectiveSeconds: number | null;
  readonly missedSince: number | null;
  readonly streamEnabled: boolean;
  readonly watermark: string | null;
  readonly guarantee: Guarantee | null;
  readonly last: (LastRun & { readonly at: string; readonly read: number; readonly written: number; readonly lastCommit: number | null }) | null;
  readonly lastScan: LastScan | null;
  readonly lastReconcile: LastReconcile | null;
}

export interface FreshnessReport {
  readonly objectiveSeconds: number;
  readonly missed: boolean;
  readonly since: string | null;
}

interface SourceSign {
  readonly source: string;
  readonly sign: number;
}

/** Streams of a source, or all, in the file's order; empty before anything is applied. Throws `usage.unknown_source`. */
export async function listStatus(destination: Destination, source: string | null): Promise<StreamReport[]> {
  if (source !== null) await chooseSources(destination, [source], null);
  const { now, sources, waiting, rows, signs, breakers, stalled } = await destination.session('reading the status', async (session) => {
    const sources = await listSources(session);
    const waiting = await listWaiting(session, sources.map((each) => each.settings.id));
    return { sources, waiting, rows: await readStreams(session, source), signs: await readSigns(session), breakers: await listBreakers(session, null), stalled: await stalledWarnings(session), now: await clock(session) };
  });
  const counts = await countTargets(destination, rows.map((row) => row.target));
  const facts = rows.map((row) => factsOf(row, sources.find((each) => each.settings.id === row.source)!));
  const overdue = new Map(sources.map((each) => [each.settings.id, overdueOf(each, rows, facts, signs, now)]));
  return rows.map((row, index) => report(row, facts[index]!, counts.get(row.target)!, overdue.get(row.source) ?? null, now, waiting.has(row.source), connectionOf(breakers, row.source), [...(stalled.get(laneOf(row)) ?? []), ...(stalled.get(laneOf({ source: row.source, stream: null })) ?? [])]));
}

/** Names of a source's streams that a run could bring back: parked, skipped or without their history. */
export async function listUnwell(destination: Destination, source: string): Promise<string[]> {
  const { rows, sources } = await destination.session('reading the status', async (session) => ({ rows: await readStreams(session, source), sources: await listSources(session) }));
  const settings = sources.find((each) => each.settings.id === source);
  return settings === undefined ? [] : rows.filter((row) => UNWELL.includes(stateOf(factsOf(row, settings)).status)).map((row) => row.stream);
}

const UNWELL: readonly StreamStatus[] = ['parked', 'skipped', 'history_lost'];

function report(row: StatusRow, facts: StreamFacts, count: RowCount, overdue: string | null, now: number, sessionsBusy: boolean, reached: SourceConnection, stalled: readonly string[]): StreamReport {
  const { status, error, next } = stateOf(facts);
  const { last } = row;
  const lag = lagSeconds(facts, now);
  const freshness = freshnessOf(row, lag, facts, now);
  const quiet = status === 'running' && last !== null ? quietWarning(last.startedAt, last.lastCommit, now) : null;
  const waits = status !== 'disabled' && status !== 'paused' && facts.parked === null;
  return {
    source: row.source,
    stream: row.stream,
    target: row.target,
    status,
    watermark: row.watermark,
    guarantee: row.guarantee,
    lagSeconds: lag,
    lastRun: last === null ? null : { runId: last.runId, at: last.at, read: last.read, written: last.written },
    rows: count.rows,
    rowsExact: count.exact,
    error,
    next,
    freshness,
    warnings: [...warningsOf(facts), ...differenceWarnings(row), ...(freshness?.missed === true ? [missedText(freshness, lag)] : []), ...stalled, ...(sessionsBusy && status === 'running' ? ['steps of its source wait for one of the sessions that sessions_max allows'] : []), ...(overdue !== null && waits ? [overdue] : []), ...(quiet === null ? [] : [quiet]), ...(reached.warning !== null && waits && error?.code !== 'source.breaker_open' ? [reached.warning] : [])],
    breaker: reached.breaker,
    connection: reached.connection,
    lastScan: row.lastScan,
    lastReconcile: row.lastReconcile,
  };
}

/** Until a comparison finds the target equal, or a repair has made it so. */
function differenceWarnings({ source, stream, lastReconcile }: StatusRow): string[] {
  if (lastReconcile === null || lastReconcile.remaining === 0) return [];
  const { missing, extra, different, remaining, at } = lastReconcile;
  return [`differs from its source: ${remaining.toLocaleString('en-US')} rows by the comparison of ${at} (missing ${missing}, extra ${extra}, different ${different}); tidemark reconcile ${shellWord(source)} ${shellWord(stream)} looks again, and copies them with --repair`];
}

/** Asked now, so that a miss shows where no worker runs that could notice it. Nobody waits for what is paused or disabled. */
function freshnessOf(row: StatusRow, lag: number | null, facts: StreamFacts, now: number): FreshnessReport | null {
  const objectiveSeconds = row.objectiveSeconds;
  if (objectiveSeconds === null) return null;
  const held = !facts.enabled || facts.sourcePaused || facts.streamPaused;
  const missed = !held && (lag === null ? row.missedSince !== null : lag > objectiveSeconds);
  const since = !missed ? null : (row.missedSince ?? now - lag! + objectiveSeconds);
  return { objectiveSeconds, missed, since: since === null ? null : new Date(since * 1_000).toISOString() };
}

function missedText({ objectiveSeconds }: FreshnessReport, lag: number | null): string {
  return `freshness missed: ${lag === null ? 'never synced' : `${Math.round(lag).toLocaleString('en-US')} s`}, objective ${objectiveSeconds.toLocaleString('en-US')} s`;
}

function factsOf(row: StatusRow, source: CatalogSource): StreamFacts {
  const { everySeconds, cron } = source.settings.schedule;
  return { ...row, enabled: source.settings.enabled && row.streamEnabled, sourcePaused: source.paused, scheduled: everySeconds !== null || cron !== null };
}

/** Only a source that has something to do gives signs: one whose streams are all held has nothing to poll. */
function overdueOf(source: CatalogSource, rows: readonly StatusRow[], facts: readonly StreamFacts[], signs: readonly SourceSign[], now: number): string | null {
  const id = source.settings.id;
  const sign = signs.find((each) => each.source === id)?.sign;
  if (sign === undefined || !facts.some((each) => each.source === id && each.enabled && !each.sourcePaused && !each.streamPaused && each.parked === null)) return null;
  const signsOfStreams = rows.filter((row) => row.source === id).flatMap(({ last }) => [last?.startedAt, last?.endedAt, last?.lastCommit]);
  return overdueWarning(source.settings.schedule, Math.max(sign, ...signsOfStreams.filter((each) => each !== null && each !== undefined)), now);
}

/** A window's row is opened before a run that a person asked for within it and goes on after it, so the latest is not the last that began. */
const LATEST_RUNS = 5;

async function readStreams(session: Session, source: string | null): Promise<StatusRow[]> {
  const { rows } = await session.query<StatusRow>(
    `select s.source, s.stream, coalesce((s.plan->'target'->>'schema') || '.' || (s.plan->'target'->>'name'), s.target) as target, s.paused as "streamPaused", s.parked,
       (s.settings->>'enabled')::boolean as "streamEnabled", ${epoch('s.checked_at')} as "checkedAt", coalesce(s.plan->'notes', '[]') as notes,
       (s.settings->>'freshnessSeconds')::float8 as "objectiveSeconds", (select ${epoch('f.since')} from tidemark.freshness f where f.source = s.source and f.stream = s.stream) as "missedSince",
       w.source is not null as "hasWatermark", w.display as watermark, w.guarantee, coalesce(w.future_rows, 0)::float8 as "futureRows", ${epoch('w.as_of')} as "asOf", last.run as last, ${lastScanSql('s.source', 's.stream')} as "lastScan", ${lastReconcileSql('s.source', 's.stream')} as "lastReconcile",
       (select count(*) from tidemark.quarantine q where q.source = s.source and q.stream = s.stream and q.replayed_at is null)::float8 as quarantined,
       (select coalesce(json_agg(json_build_object('id', a.id::text, 'action', a.action) order by a.id), '[]') from tidemark.approval a where a.source = s.source and a.stream = s.stream and a.state = 'pending') as waiting
     from tidemark.stream s left join tidemark.watermark w on w.source = s.source and w.stream = s.stream
       left join lateral (
         select json_build_object('runId', run_id, 'status', status, 'error', error, 'batches', batches, 'startedAt', ${epoch('started_at')}, 'endedAt', ${epoch('ended_at')}, 'at', ${isoUtc('coalesce(ended_at, started_at)')},
           'read', coalesce(l.read, r.read), 'written', coalesce(l.written, r.written), 'lastCommit', ${epoch('l.at')}) as run
         from (select * from tidemark.run_stream r where r.source = s.source and r.stream = s.stream order by started_at desc limit ${LATEST_RUNS}) r
           left join lateral (select sum(l.read) as read, sum(l.written) as written, max(committed_at) as at from tidemark.ledger l where r.status = 'running' and l.run_id = r.run_id and l.stream = r.stream) l on true
         order by status = 'running' desc, coalesce(ended_at, started_at) desc limit 1) last on true
     where $1::text is null or s.source = $1 order by s.source, s.ordinal`,
    [source],
  );
  return rows;
}

/** When each source was last heard of, beside what its streams tell; its registration counts, since its schedule begins with it. */
async function readSigns(session: Session): Promise<SourceSign[]> {
  const { rows } = await session.query<SourceSign>(
    `select s.id as source, ${epoch(`greatest(s.applied_at, (select max(checked_at) from tidemark.stream c where c.source = s.id), r.at)`)} as sign
     from tidemark.source s, lateral (select max(greatest(requested_at, started_at, ended_at)) as at
       from (select * from tidemark.run where source = s.id order by requested_at desc limit ${LATEST_RUNS}) r) r`,
  );
  return rows;
}

async function clock(session: Session): Promise<number> {
  const { rows } = await session.query<{ now: number }>(`select ${epoch('clock_timestamp()')} as now`);
  return rows[0]!.now;
}

function epoch(time: string): string {
  return `extract(epoch from ${time})::float8`;
}
