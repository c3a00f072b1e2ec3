import { TidemarkError } from '../../schemas/errors.ts';
import type { Guarantee, Position } from '../../schemas/position.ts';
import type { BatchCounts, StreamCounts } from '../../schemas/run.ts';
import type { Destination } from './destination.ts';
import { syncedData } from './events.ts';
import type { Session } from './session.ts';

export type Counts = BatchCounts;

export interface LedgerEntry extends Counts {
  readonly batch: number;
  readonly source: string;
  readonly stream: string;
  readonly runId: string;
  readonly generation: number;
  /** `range`: an incremental batch. `part`: a part of a full build. `repair`: keys that a comparison found differing, copied again. `slice`: a slice of a backfill. `retention`: no rows of the source; the old values in the touch log are of rows past their time. */
  readonly kind: 'range' | 'part' | 'repair' | 'slice' | 'replay' | 'retention' | 'scan';
  readonly from: string | null;
  readonly to: string | null;
  readonly bytes: number;
  readonly hash: string;
}

export interface Watermark {
  readonly generation: number;
  readonly version: number;
  readonly position: Position | null;
  readonly display: string | null;
  readonly guarantee: Guarantee;
}

/** Where a stream's position goes, and what it must have been: the compare-and-set that fences off an attempt that is late. */
export interface Advance {
  readonly source: string;
  readonly stream: string;
  readonly generation: number;
  readonly baseVersion: number;
  readonly position: Position;
  readonly guarantee: Guarantee;
  readonly futureRows: number;
  readonly asOf: string | null;
}

const COUNTS = 'read, written, unchanged, rejected, superseded, deleted';

/** Writes the ledger row. The equation is a constraint of the table: where it does not hold, nothing commits. */
export async function writeLedger(session: Session, entry: LedgerEntry): Promise<void> {
  const sum = entry.written + entry.unchanged + entry.rejected + entry.superseded + entry.deleted;
  if (entry.read !== sum || entry.unchanged < 0) {
    throw new TidemarkError('batch.equation', `Batch ${entry.batch} read ${entry.read} rows but accounts for ${sum}; nothing of it was committed.`, { hint: 'The batch is extracted again.' });
  }
  // One statement for the row and its event. Rows of a build that readers do not see yet are told with the swap.
  await session.query(
    `with entry as (insert into tidemark.ledger (batch, source, stream, run_id, generation, kind, "from", "to", ${COUNTS}, bytes, hash)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16))
     insert into tidemark.event (type, source, stream, data)
     select 'DataSynced', w.source, w.stream, jsonb_build_object('target', s.target) || $17::jsonb
     from tidemark.watermark w left join tidemark.stream s on s.source = w.source and s.stream = w.stream
     where w.source = $2 and w.stream = $3 and w.generation = $5 and $9::bigint > 0`,
    [entry.batch, entry.source, entry.stream, entry.runId, entry.generation, entry.kind, entry.from, entry.to, entry.read, entry.written, entry.unchanged, entry.rejected, entry.superseded, entry.deleted, entry.bytes, entry.hash, JSON.stringify(syncedData(entry))],
  );
}

/** The counts of a batch that has been committed, or null. Asked before a load, so that a lost reply to COMMIT does no harm. */
export async function findLedger(session: Session, batch: number): Promise<Counts | null> {
  const { rows } = await session.query<Record<keyof Counts, string>>(`select ${COUNTS} from tidemark.ledger where batch = $1`, [batch]);
  const row = rows[0];
  if (!row) return null;
  return { read: Number(row.read), written: Number(row.written), unchanged: Number(row.unchanged), rejected: Number(row.rejected), superseded: Number(row.superseded), deleted: Number(row.deleted) };
}

/** The sums of a run's ledger rows for one stream. */
export async function sumRun(session: Session, runId: string, stream: string): Promise<StreamCounts> {
  const names = ['read', 'written', 'unchanged', 'rejected', 'superseded', 'deleted', 'bytes'];
  const { rows } = await session.query<StreamCounts>(
    `select count(*)::int as batches, ${names.map((name) => `coalesce(sum(${name}), 0)::float8 as ${name}`).join(', ')} from tidemark.ledger where run_id = $1 and stream = $2`,
    [runId, stream],
  );
  return rows[0]!;
}

/** True if a batch with a higher id has been committed for the stream, so that target rows may be newer than this batch's. */
export async function hasLaterBatch(session: Session, source: string, stream: string, batch: number): Promise<boolean> {
  const { rows } = await session.query<{ later: boolean }>('select exists (select from tidemark.ledger where source = $1 and stream = $2 and batch > $3) as later', [source, stream, batch]);
  return rows[0]!.later;
}

export async function readWatermark(destination: Destination, source: string, stream: string): Promise<Watermark | null> {
  return destination.session('reading the watermark', async (session) => {
    const { rows } = await session.query<{ generation: number; version: string; position: Position | null; display: string | null; guarantee: Guarantee }>(
      'select generation, version, position, display, guarantee from tidemark.watermark where source = $1 and stream = $2',
      [source, stream],
    );
    const row = rows[0];
    return row ? { ...row, version: Number(row.version) } : null;
  });
}

/** Locks the stream's watermark until the transaction's end. Returns the generation that readers see; null before the first load. */
export async function lockWatermark(session: Session, source: string, stream: string): Promise<number | null> {
  const { rows } = await session.query<{ generation: number }>('select generation from tidemark.watermark where source = $1 and stream = $2 for update', [source, stream]);
  return rows[0]?.generation ?? null;
}

/**
 * Moves the watermark, inside the transaction of the rows it speaks of. Zero rows hit means that somebody else moved it:
 * the transaction must fail, or a late attempt's rows would commit.
 */
export async function advanceWatermark(session: Session, advance: Advance): Promise<void> {
  const { rowCount } = await session.query(
    `update tidemark.watermark set version = version + 1, position = $5, display = $6, guarantee = $7, future_rows = $8, as_of = $9, updated_at = clock_timestamp()
     where source = $1 and stream = $2 and generation = $3 and version = $4`,
    [advance.source, advance.stream, advance.generation, advance.baseVersion, JSON.stringify(advance.position), advance.position.display, advance.guarantee, advance.futureRows, advance.asOf],
  );
  if (rowCount !== 1) throw moved(advance);
}

/** The same for a generation that is still being built; its position becomes the watermark when it is swapped in. */
export async function advanceBuilding(session: Session, advance: Advance): Promise<void> {
  const { rowCount } = await session.query(
    `update tidemark.generation set version = version + 1, position = $5, display = $6, guarantee = $7, as_of = $8
     where source = $1 and stream = $2 and generation = $3 and version = $4 and state = 'building'`,
    [advance.source, advance.stream, advance.generation, advance.baseVersion, JSON.stringify(advance.position), advance.position.display, advance.guarantee, advance.asOf],
  );
  if (rowCount !== 1) throw moved(advance);
}

function moved(advance: Advance): TidemarkError {
  return new TidemarkError('batch.fenced', `The watermark of ${advance.stream} has moved since this batch was read; the batch commits nothing.`, { hint: 'It is read again from the new watermark.' });
}
