/** What is kept of each scan for deleted rows: `tidemark.delete_scan`. */
import type { StreamName } from './deletes.ts';
import { isoUtc } from './runs.ts';
import type { Session } from './session.ts';

export interface ScanRef extends StreamName {
  readonly runId: string;
  readonly step: string;
  readonly generation: number;
}

/** Writes down that a scan has begun; one that is tried again begins anew. Returns the scope of the last scan that came to an end, or null. */
export async function beginScan(session: Session, scan: ScanRef): Promise<string | null> {
  await session.query(
    `insert into tidemark.delete_scan (source, stream, run_id, step, generation) values ($1, $2, $3, $4, $5)
     on conflict (source, stream, run_id, step) do update set state = 'running', generation = excluded.generation, started_at = clock_timestamp(), finished_at = null`,
    [scan.source, scan.stream, scan.runId, scan.step, scan.generation],
  );
  const { rows } = await session.query<{ scope: string | null }>(
    "select scope from tidemark.delete_scan where source = $1 and stream = $2 and state = 'completed' and scope is not null order by id desc limit 1",
    [scan.source, scan.stream],
  );
  return rows[0]?.scope ?? null;
}

export interface ScanEnd {
  readonly state: 'completed' | 'waiting' | 'rejected';
  readonly batch: number;
  readonly way: 'digest' | 'extract';
  readonly scope: string | null;
  readonly sourceRows: number;
  readonly targetRows: number;
  /** Rows of the target that the source lacks. */
  readonly found: number;
  readonly deleted: number;
  readonly asOf: string;
}

export async function endScan(session: Session, scan: ScanRef, end: ScanEnd): Promise<void> {
  await session.query(
    `update tidemark.delete_scan set state = $5, batch = $6, way = $7, scope = $8, source_rows = $9, target_rows = $10, found = $11, deleted = $12, as_of = $13, finished_at = clock_timestamp()
     where source = $1 and stream = $2 and run_id = $3 and step = $4`,
    [scan.source, scan.stream, scan.runId, scan.step, end.state, end.batch, end.way, end.scope, end.sourceRows, end.targetRows, end.found, end.deleted, end.asOf],
  );
}

/** A scan as `status` shows it. Times are ISO 8601, UTC. */
export interface LastScan {
  readonly state: 'running' | 'completed' | 'waiting' | 'rejected';
  readonly startedAt: string;
  readonly finishedAt: string | null;
  readonly found: number | null;
  readonly deleted: number | null;
}

/** SQL for a stream's last scan as JSON, or NULL; `source` and `stream` are expressions. */
export function lastScanSql(source: string, stream: string): string {
  return `(select json_build_object('state', d.state, 'startedAt', ${isoUtc('d.started_at')}, 'finishedAt', ${isoUtc('d.finished_at')}, 'found', d.found, 'deleted', d.deleted)
    from tidemark.delete_scan d where d.source = ${source} and d.stream = ${stream} order by d.id desc limit 1)`;
}

/**
 * Streams of a source whose scan is due: `every` has passed since the last one that ended or since the target was built, or a person has
 * approved what a scan had found. `streams`: names with their `every` in seconds; null: never by itself.
 */
export async function listDueScans(session: Session, source: string, streams: readonly { readonly stream: string; readonly everySeconds: number | null }[]): Promise<string[]> {
  if (streams.length === 0) return [];
  const { rows } = await session.query<{ stream: string }>(
    `select s.stream from jsonb_to_recordset($2::jsonb) s(stream text, "everySeconds" float8)
     where exists (select from tidemark.watermark w where w.source = $1 and w.stream = s.stream) and (
       exists (select from tidemark.approval a where a.source = $1 and a.stream = s.stream and a.action = 'delete' and a.state = 'approved' and a.fingerprint like 'scan %')
       or s."everySeconds" is not null and clock_timestamp() >= make_interval(secs => s."everySeconds") + greatest(
         (select max(d.finished_at) from tidemark.delete_scan d where d.source = $1 and d.stream = s.stream and d.state in ('completed', 'rejected')),
         (select max(g.created_at) from tidemark.generation g where g.source = $1 and g.stream = s.stream and g.state = 'current'), '-infinity'))`,
    [source, JSON.stringify(streams)],
  );
  return rows.map((row) => row.stream);
}
