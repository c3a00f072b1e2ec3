import { TidemarkError, type ErrorInfo } from '../../schemas/errors.ts';
import type { ReadWindow } from '../../schemas/read-window.ts';
import type { SourceSettings, StreamSettings } from '../../schemas/settings.ts';
import { forgetMisses } from './freshness.ts';
import type { Session } from './session.ts';

/** A source as applied, with the states a person set. */
export interface CatalogSource {
  readonly settings: SourceSettings;
  readonly hash: string;
  readonly paused: boolean;
}

export interface CatalogStream {
  readonly source: string;
  readonly stream: string;
  readonly target: string;
  readonly settings: StreamSettings;
  readonly paused: boolean;
  readonly parked: ErrorInfo | null;
  /** It was parked, and has not completed since. */
  readonly resumes: boolean;
}

/** Columns of a {@link CatalogSource} and of a {@link CatalogStream}. */
const SOURCE = 'settings, settings_hash as hash, paused';
const STREAM = 'source, stream, target, settings, paused, parked, resumes';

export async function listSources(session: Session): Promise<CatalogSource[]> {
  const { rows } = await session.query<CatalogSource>(`select ${SOURCE} from tidemark.source order by id`);
  return rows;
}

export async function findSource(session: Session, id: string): Promise<CatalogSource | null> {
  const { rows } = await session.query<CatalogSource>(`select ${SOURCE} from tidemark.source where id = $1`, [id]);
  return rows[0] ?? null;
}

/** A source with its streams, in one question. Throws `usage.unknown_source`. */
export async function requireSourceStreams(session: Session, id: string): Promise<{ readonly source: CatalogSource; readonly streams: CatalogStream[] }> {
  const { rows } = await session.query<CatalogSource & { streams: CatalogStream[] | null }>(
    `select ${SOURCE}, (select json_agg(t) from (select ${STREAM} from tidemark.stream where source = $1 order by ordinal) t) as streams from tidemark.source where id = $1`,
    [id],
  );
  const row = rows[0];
  if (row === undefined) throw unknownSource(id);
  const { streams, ...source } = row;
  return { source, streams: streams ?? [] };
}

/** {@link findSource} that throws `usage.unknown_source`. */
export async function requireSource(session: Session, id: string): Promise<CatalogSource> {
  const source = await findSource(session, id);
  if (source === null) throw unknownSource(id);
  return source;
}

export function unknownSource(id: string): TidemarkError {
  return new TidemarkError('usage.unknown_source', `There is no source ${id} in the catalog.`, { hint: 'Run tidemark apply first.' });
}

/** Those of these streams of a source that are wanted; null: all. Throws `usage.unknown_stream` for a name that none of them has. */
export function chosenOf(streams: readonly CatalogStream[], source: string, wanted: readonly string[] | null): CatalogStream[] {
  const unknown = wanted?.find((name) => !streams.some((stream) => stream.stream === name));
  if (unknown !== undefined) throw unknownStream(source, unknown);
  return streams.filter((stream) => wanted === null || wanted.includes(stream.stream));
}

export function unknownStream(source: string, stream: string): TidemarkError {
  return new TidemarkError('usage.unknown_stream', `Source ${source} has no stream ${stream} in the catalog.`, { hint: 'Run tidemark apply after a change of the file.' });
}

export async function listStreams(session: Session, source: string | null): Promise<CatalogStream[]> {
  const { rows } = await session.query<CatalogStream>(`select ${STREAM} from tidemark.stream where $1::text is null or source = $1 order by source, ordinal`, [source]);
  return rows;
}

/** Registers a source as the file has it: streams that the file no longer names leave the catalog, their targets stay. */
export async function saveSource(session: Session, settings: SourceSettings, hash: string, targets: readonly string[]): Promise<void> {
  await forgetConnectionTrouble(session, settings);
  await session.query(
    `insert into tidemark.source (id, settings, settings_hash) values ($1, $2, $3)
     on conflict (id) do update set settings = excluded.settings, settings_hash = excluded.settings_hash, applied_at = clock_timestamp()`,
    [settings.id, JSON.stringify(settings), hash],
  );
  const names = settings.streams.map((stream) => stream.name);
  await forgetMisses(session, settings.id, names);
  await session.query('delete from tidemark.stream where source = $1 and not stream = any($2)', [settings.id, names]);
  for (const [ordinal, stream] of settings.streams.entries()) {
    await session.query(
      `insert into tidemark.stream (source, stream, ordinal, target, settings) values ($1, $2, $3, $4, $5)
       on conflict (source, stream) do update set ordinal = excluded.ordinal, target = excluded.target, settings = excluded.settings,
         parked = case when stream.settings = excluded.settings then stream.parked end, plan = case when stream.settings = excluded.settings then stream.plan end`,
      [settings.id, stream.name, ordinal, targets[ordinal], JSON.stringify(stream)],
    );
  }
}

/** Where a connection is set otherwise, what was known of the one before holds no more: its breaker, and streams that wait because of it. */
async function forgetConnectionTrouble(session: Session, { id, connection, fallback }: SourceSettings): Promise<void> {
  const settings = [id, JSON.stringify({ connection, fallback })];
  await session.query(
    `delete from tidemark.breaker b using tidemark.source s where s.id = $1 and b.source = s.id
       and s.settings->(case b.connection when 'primary' then 'connection' else 'fallback' end) is distinct from $2::jsonb->(case b.connection when 'primary' then 'connection' else 'fallback' end)`,
    settings,
  );
  await session.query(
    `update tidemark.stream set parked = null from tidemark.source s where s.id = $1 and source = s.id and s.settings->'connection' is distinct from $2::jsonb->'connection'
       and parked->>'code' in ('source.auth_failed', 'source.database_missing', 'source.tls_failed', 'source.protocol')`,
    settings,
  );
}

export async function removeSource(session: Session, id: string): Promise<void> {
  await forgetMisses(session, id, []);
  await session.query('delete from tidemark.source where id = $1', [id]);
}

/** Pauses or resumes a source, or one stream of it. Returns false where there is none of that name. */
export async function setPaused(session: Session, source: string, stream: string | null, paused: boolean): Promise<boolean> {
  const result = stream === null
    ? await session.query('update tidemark.source set paused = $2 where id = $1', [source, paused])
    : await session.query('update tidemark.stream set paused = $3 where source = $1 and stream = $2', [source, stream, paused]);
  return (result.rowCount ?? 0) > 0;
}

export async function isPaused(session: Session, source: string, stream: string): Promise<boolean> {
  const { rows } = await session.query<{ paused: boolean }>(
    'select coalesce((select paused from tidemark.source where id = $1), false) or coalesce((select paused from tidemark.stream where source = $1 and stream = $2), false) as paused',
    [source, stream],
  );
  return rows[0]!.paused;
}

/** The hours in which a stream may be read; null: any. */
export async function findReadWindow(session: Session, source: string, stream: string): Promise<ReadWindow | null> {
  const { rows } = await session.query<ReadWindow>(
    `select s.settings->>'readWindow' as hours, coalesce(s.settings->'schedule'->>'timeZone', c.settings->'schedule'->>'timeZone') as "timeZone"
     from tidemark.stream s join tidemark.source c on c.id = s.source where s.source = $1 and s.stream = $2 and s.settings->>'readWindow' is not null`,
    [source, stream],
  );
  return rows[0] ?? null;
}

export async function setParked(session: Session, source: string, stream: string, error: ErrorInfo | null): Promise<void> {
  await session.query('update tidemark.stream set parked = $3 where source = $1 and stream = $2', [source, stream, error === null ? null : JSON.stringify(error)]);
}

/** Keeps the plan a stream was last read by, so that a poll needs no look into the source's catalog. */
export async function savePlan(session: Session, source: string, stream: string, plan: unknown): Promise<void> {
  await session.query('update tidemark.stream set plan = $3 where source = $1 and stream = $2', [source, stream, JSON.stringify(plan)]);
}

export async function readPlan(session: Session, source: string, stream: string): Promise<unknown> {
  const { rows } = await session.query<{ plan: unknown }>('select plan from tidemark.stream where source = $1 and stream = $2', [source, stream]);
  return rows[0]?.plan ?? null;
}

/** Notes that the streams were found complete just now. */
export async function markChecked(session: Session, source: string, streams: readonly string[]): Promise<void> {
  if (streams.length === 0) return;
  await session.query('update tidemark.stream set checked_at = clock_timestamp() where source = $1 and stream = any($2)', [source, streams]);
}
