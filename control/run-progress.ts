/** How far runs are, while they run: from the ledger, and from the copies that are under way in the destination. */
import type { Destination } from '../destinations/postgres/destination.ts';
import type { ErrorInfo } from '../schemas/errors.ts';
import type { StreamStatus } from '../schemas/run.ts';

export type { Destination };

export interface StreamProgress {
  readonly source: string;
  readonly stream: string;
  readonly status: StreamStatus;
  /** Rows in the ledger: these are committed. */
  readonly read: number;
  readonly written: number;
  /** Rows of batches on their way that have reached the destination and are not committed. */
  readonly copying: number;
  /** Since it began; of the whole where it has ended. */
  readonly seconds: number;
  readonly error: ErrorInfo | null;
}

/** The streams that have begun in these runs, in the order in which they began. */
export async function readProgress(destination: Destination, runIds: readonly string[]): Promise<StreamProgress[]> {
  return destination.session('reading the progress', async (session) => {
    const { rows } = await session.query<StreamProgress>(
      `select r.source, r.stream, r.status, r.error, coalesce(l.read, 0)::float8 as read, coalesce(l.written, 0)::float8 as written, coalesce(c.rows, 0)::float8 as copying,
         extract(epoch from coalesce(r.ended_at, clock_timestamp()) - r.started_at)::float8 as seconds
       from tidemark.run_stream r
         left join lateral (select sum(read) as read, sum(written) as written from tidemark.ledger l where l.run_id = r.run_id and l.stream = r.stream) l on true
         left join lateral (
           select sum(p.tuples_processed) as rows from tidemark.batch b join pg_stat_activity a on b.backend = a.pid || ' ' || a.backend_start join pg_stat_progress_copy p on p.pid = a.pid
           where r.status = 'running' and b.run_id = r.run_id and b.stream = r.stream) c on true
       where r.run_id = any($1) order by r.started_at, r.source, r.stream`,
      [runIds],
    );
    return rows;
  });
}
