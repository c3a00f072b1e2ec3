/** What has been done, newest first: runs, and the ledger's batches. */
import { listStreams } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { LedgerEntry } from '../destinations/postgres/ledger.ts';
import { isoUtc } from '../destinations/postgres/runs.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Trigger } from '../schemas/run.ts';
import { chooseSources } from './choose-sources.ts';

/** One line of `runs`. A window of many polls is one run. Times are ISO 8601, UTC. */
export interface HistoryRun {
  readonly runId: string;
  readonly source: string;
  /** `waiting`, `running`, `comparing`, `backfilling`, `completed`, `failed`, `cancelled`, `skipped` where no stream could be compared within its `read_window`, or `lost` where its workflow was gone before its end. */
  readonly status: string;
  readonly trigger: Trigger;
  readonly requestedAt: string;
  readonly startedAt: string | null;
  readonly endedAt: string | null;
  /** 0 while it runs. */
  readonly polls: number;
  readonly streams: number;
  /** Sums of the run's ledger rows. */
  readonly batches: number;
  readonly read: number;
  readonly written: number;
  readonly unchanged: number;
  readonly rejected: number;
  readonly kind: 'sync' | 'reconcile' | 'backfill';
  /** Keys that a comparison found, summed over its streams; null for other kinds. */
  readonly missing: number | null;
  readonly extra: number | null;
  readonly different: number | null;
  readonly repaired: number | null;
}

/** One line of `ledger`: a row of `tidemark.ledger`. */
export type HistoryBatch = LedgerEntry & { readonly committedAt: string };

/** The last `limit` runs of a source, or of all. Throws `usage.unknown_source` for one that neither catalog nor history has. */
export async function listRuns(destination: Destination, source: string | null, limit: number): Promise<HistoryRun[]> {
  const runs = await destination.session('reading runs', async (session) => {
    const { rows } = await session.query<HistoryRun>(
      `select r.run_id as "runId", r.source, r.status, r.trigger, ${isoUtc('r.requested_at')} as "requestedAt", ${isoUtc('r.started_at')} as "startedAt", ${isoUtc('r.ended_at')} as "endedAt",
         r.polls::int, (select count(*)::int from tidemark.run_stream s where s.run_id = r.run_id) as streams, l.*,
         coalesce(r.scope->>'kind', 'sync') as kind, c.*
       from (select * from tidemark.run where $1::text is null or source = $1 order by requested_at desc limit $2) r,
         lateral (select count(*)::int as batches, coalesce(sum(read), 0)::float8 as read, coalesce(sum(written), 0)::float8 as written, coalesce(sum(unchanged), 0)::float8 as unchanged,
           coalesce(sum(rejected), 0)::float8 as rejected from tidemark.ledger where run_id = r.run_id) l,
         lateral (select ${FOUND.map((name) => `sum((c.result->>'${name}')::float8) as ${name}`).join(', ')} from tidemark.reconciliation c where c.run_id = r.run_id) c
       order by r.requested_at desc`,
      [source, limit],
    );
    return rows;
  });
  if (runs.length === 0 && source !== null) await chooseSources(destination, [source], null);
  return runs;
}

/** The last `limit` batches of a stream. Throws `usage.unknown_source` or `usage.unknown_stream` for one that neither catalog nor ledger has. */
export async function listBatches(destination: Destination, source: string, stream: string, limit: number): Promise<HistoryBatch[]> {
  const batches = await destination.session('reading the ledger', async (session) => {
    // By the index on batch ids first: ids follow the order of commits closely, and the ledger may be long.
    const { rows } = await session.query<HistoryBatch>(
      `select batch::float8, source, stream, run_id as "runId", generation, kind, "from", "to", read::float8, written::float8, unchanged::float8, rejected::float8, superseded::float8, deleted::float8,
         bytes::float8, hash, ${isoUtc('committed_at')} as "committedAt"
       from (select * from tidemark.ledger where source = $1 and stream = $2 order by batch desc limit $3) l order by committed_at desc, l.batch desc`,
      [source, stream, limit],
    );
    return rows;
  });
  if (batches.length === 0) await requireStreamOf(destination, source, stream);
  return batches;
}

/** Throws `usage.unknown_source` or `usage.unknown_stream` for a name that the catalog does not have. */
export async function requireStreamOf(destination: Destination, source: string, stream: string): Promise<void> {
  await chooseSources(destination, [source], null);
  const streams = await destination.session('reading the catalog', (session) => listStreams(session, source));
  if (streams.some((each) => each.stream === stream)) return;
  throw new TidemarkError('usage.unknown_stream', `Source ${source} has no stream ${stream} in the catalog.`, { hint: `Its streams are ${streams.map((each) => each.stream).join(', ')}.` });
}

/** Reads `--limit`. Throws `usage.invalid`. */
export function parseLimit(text: string): number {
  const limit = Number(text);
  if (/^\d+$/.test(text) && limit >= 1 && limit <= LIMIT_MAX) return limit;
  throw new TidemarkError('usage.invalid', '--limit takes a whole number from 1 on.', { hint: 'For example --limit 50.' });
}

const LIMIT_MAX = 1_000_000;
const FOUND = ['missing', 'extra', 'different', 'repaired'] as const;
