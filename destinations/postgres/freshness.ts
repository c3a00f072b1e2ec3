/** Streams with a freshness objective, and which of them miss it. */
import type { ErrorInfo } from '../../schemas/errors.ts';
import type { StreamStatus } from '../../schemas/run.ts';
import { emitEvent } from './events.ts';
import type { Session } from './session.ts';

/** What is known of a stream that is watched, or was. Times are seconds since the epoch by the destination's clock, `asOf` by the source's. */
export interface WatchedStream {
  readonly source: string;
  readonly stream: string;
  /** Null where it has none any more. */
  readonly objectiveSeconds: number | null;
  readonly enabled: boolean;
  readonly paused: boolean;
  readonly parked: boolean;
  readonly readWindow: string | null;
  readonly timeZone: string;
  readonly everySeconds: number | null;
  readonly appliedAt: number;
  readonly checkedAt: number | null;
  readonly asOf: number | null;
  readonly hasWatermark: boolean;
  readonly last: {
    readonly runId: string;
    readonly status: StreamStatus;
    readonly error: ErrorInfo | null;
    readonly batches: number;
    readonly startedAt: number;
    readonly endedAt: number | null;
    /** When the run that is under way committed last. */
    readonly lastCommit: number | null;
  } | null;
  /** The last attempt to connect to the source has failed. */
  readonly unreachable: boolean;
  /** A run of the source that has not ended. */
  readonly active: { readonly trigger: string } | null;
  /** Since when it misses its objective; null while it does not. */
  readonly missedSince: number | null;
}

const epoch = (time: string): string => `extract(epoch from ${time})::float8`;

/** Streams that have an objective, or are noted as missing one; in one order, so that two watches that note what they miss do not wait for each other. */
export async function listWatched(session: Session): Promise<{ readonly now: number; readonly streams: readonly WatchedStream[] }> {
  const { rows: clock } = await session.query<{ now: number }>(`select ${epoch('clock_timestamp()')} as now`);
  const { rows: streams } = await session.query<WatchedStream>(
    `select s.source, s.stream, (s.settings->>'freshnessSeconds')::float8 as "objectiveSeconds", (c.settings->>'enabled')::boolean and (s.settings->>'enabled')::boolean as enabled,
       c.paused or s.paused as paused, s.parked is not null as parked, s.settings->>'readWindow' as "readWindow",
       coalesce(s.settings->'schedule'->>'timeZone', c.settings->'schedule'->>'timeZone', 'UTC') as "timeZone", (c.settings->'schedule'->>'everySeconds')::float8 as "everySeconds",
       ${epoch('c.applied_at')} as "appliedAt", ${epoch('s.checked_at')} as "checkedAt", ${epoch('w.as_of')} as "asOf", w.source is not null as "hasWatermark", last.run as last,
       (select json_build_object('trigger', r.trigger) from tidemark.run r where r.source = s.source and r.status in ('running', 'waiting') order by r.status limit 1) as active,
       exists (select from tidemark.breaker b where b.source = s.source and b.connection = 'primary' and (b.failures > 0 or b.state <> 'closed')) as unreachable,
       ${epoch('f.since')} as "missedSince"
     from tidemark.stream s join tidemark.source c on c.id = s.source
       left join tidemark.watermark w on w.source = s.source and w.stream = s.stream
       left join tidemark.freshness f on f.source = s.source and f.stream = s.stream
       left join lateral (
         select json_build_object('runId', run_id, 'status', status, 'error', error, 'batches', batches, 'startedAt', ${epoch('started_at')}, 'endedAt', ${epoch('ended_at')},
           'lastCommit', (select ${epoch('max(l.committed_at)')} from tidemark.ledger l where r.status = 'running' and l.run_id = r.run_id and l.stream = r.stream)) as run
         from (select * from tidemark.run_stream r where r.source = s.source and r.stream = s.stream order by started_at desc limit 5) r
         order by status = 'running' desc, coalesce(ended_at, started_at) desc limit 1) last on true
     where s.settings->>'freshnessSeconds' is not null or f.source is not null
     order by s.source, s.stream`,
  );
  return { now: clock[0]!.now, streams };
}

/** Notes a miss, once: false where it is noted already, and where the stream has left the catalog or is about to ({@link forgetMisses}). Until the transaction ends it does not leave. */
export async function noteMissed(session: Session, { source, stream }: Pick<WatchedStream, 'source' | 'stream'>, since: number, reason: string): Promise<boolean> {
  const { rowCount } = await session.query(
    `insert into tidemark.freshness (source, stream, since, reason)
     select source, stream, to_timestamp($3), $4 from tidemark.stream where source = $1 and stream = $2 for key share skip locked on conflict do nothing`,
    [source, stream, since, reason],
  );
  return rowCount === 1;
}

/**
 * Ends the misses of streams that leave the catalog: of all of a source but `kept`. Whoever was told of one is told that nobody watches it any more.
 * The streams are locked first: a miss that is being noted is waited for, and none is noted after.
 */
export async function forgetMisses(session: Session, source: string, kept: readonly string[]): Promise<void> {
  await session.query('select from tidemark.stream where source = $1 and not stream = any($2) order by stream for update', [source, kept]);
  const { rows } = await session.query<{ stream: string; missed: number; objective: number | null }>(
    `with left_over as (delete from tidemark.freshness where source = $1 and not stream = any($2) returning stream, since)
     select l.stream, round(${epoch('clock_timestamp() - l.since')}::numeric, 3)::float8 as missed, (s.settings->>'freshnessSeconds')::float8 as objective
     from left_over l left join tidemark.stream s on s.source = $1 and s.stream = l.stream`,
    [source, kept],
  );
  for (const { stream, missed, objective } of rows) {
    await emitEvent(session, { type: 'FreshnessRestored', source, stream, data: { objectiveSeconds: objective, missedSeconds: missed, reason: 'not_watched' } });
  }
}

/** Takes a noted miss back; false where there was none. */
export async function noteFresh(session: Session, { source, stream }: Pick<WatchedStream, 'source' | 'stream'>): Promise<boolean> {
  const { rowCount } = await session.query('delete from tidemark.freshness where source = $1 and stream = $2', [source, stream]);
  return rowCount === 1;
}
