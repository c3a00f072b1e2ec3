/** The slices of backfills: half-open ranges of cursor values, each read and loaded as one batch. Bounds stay in these tables; ids go through Temporal. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Session } from './session.ts';

/** A half-open range `[from, to)` of cursor values, as text in the cursor's own terms. */
export interface CursorRange {
  readonly from: string;
  readonly to: string;
}

export interface Slice extends CursorRange {
  readonly id: number;
  readonly source: string;
  readonly stream: string;
  readonly runId: string;
  readonly state: 'open' | 'done' | 'proven';
}

export interface Backfill extends CursorRange {
  readonly source: string;
  readonly stream: string;
}

/** How many slices of a run there are, by state. */
export interface SliceCounts {
  readonly total: number;
  readonly done: number;
  readonly proven: number;
}

/** The id of a range of a stream; the same range has the same id. */
export async function saveBackfill(session: Session, backfill: Backfill): Promise<number> {
  const values = [backfill.source, backfill.stream, backfill.from, backfill.to];
  await session.query('insert into tidemark.backfill (source, stream, "from", "to") values ($1, $2, $3, $4) on conflict do nothing', values);
  const { rows } = await session.query<{ id: string }>('select id from tidemark.backfill where source = $1 and stream = $2 and "from" = $3 and "to" = $4', values);
  return Number(rows[0]!.id);
}

export async function findBackfill(session: Session, id: number): Promise<Backfill | null> {
  const { rows } = await session.query<Backfill>('select source, stream, "from", "to" from tidemark.backfill where id = $1', [id]);
  return rows[0] ?? null;
}

/** Writes down the slices of a run, once. */
export async function saveSlices(session: Session, backfill: number, runId: string, slices: readonly (CursorRange & { readonly proven: boolean })[]): Promise<void> {
  await session.query(
    `insert into tidemark.slice (backfill, run_id, source, stream, ordinal, "from", "to", state)
     select b.id, $2, b.source, b.stream, s.n, s.slice->>'from', s.slice->>'to', case when (s.slice->>'proven')::boolean then 'proven' else 'open' end
     from tidemark.backfill b, jsonb_array_elements($3::jsonb) with ordinality s(slice, n) where b.id = $1
     on conflict (run_id, ordinal) do nothing`,
    [backfill, runId, JSON.stringify(slices)],
  );
}

/** The next open slices of a run, in the order of their ranges. */
export async function listOpenSlices(session: Session, runId: string, limit: number): Promise<number[]> {
  const { rows } = await session.query<{ id: string }>("select id from tidemark.slice where run_id = $1 and state = 'open' order by id limit $2", [runId, limit]);
  return rows.map((row) => Number(row.id));
}

export async function countSlices(session: Session, runId: string): Promise<SliceCounts> {
  const { rows } = await session.query<SliceCounts>(
    "select count(*)::int as total, count(*) filter (where state = 'done')::int as done, count(*) filter (where state = 'proven')::int as proven from tidemark.slice where run_id = $1",
    [runId],
  );
  return rows[0]!;
}

/** Throws `batch.fenced` for a slice that is not there any more. */
export async function readSlice(session: Session, id: number): Promise<Slice> {
  const { rows } = await session.query<Omit<Slice, 'id'>>('select source, stream, run_id as "runId", "from", "to", state from tidemark.slice where id = $1', [id]);
  if (!rows[0]) throw new TidemarkError('batch.fenced', 'This slice of a backfill does not exist any more.');
  return { ...rows[0], id };
}

/** Marks a slice as loaded into a generation, in the transaction of its rows. */
export async function finishSlice(session: Session, id: number, batch: number, generation: number): Promise<void> {
  const { rowCount } = await session.query("update tidemark.slice set state = 'done', batch = $2, generation = $3, done_at = clock_timestamp() where id = $1 and state = 'open'", [id, batch, generation]);
  if (rowCount !== 1) throw new TidemarkError('batch.fenced', 'Another attempt has loaded this slice; this one commits nothing.');
}

/** Opens the slices that went into a generation which readers no longer see: their rows went with it. Returns how many. */
export async function reopenLostSlices(session: Session, runId: string): Promise<number> {
  const { rowCount } = await session.query(
    `update tidemark.slice s set state = 'open', batch = null, generation = null, done_at = null
     where s.run_id = $1 and s.state = 'done' and s.generation <> (select w.generation from tidemark.watermark w where w.source = s.source and w.stream = s.stream)`,
    [runId],
  );
  return rowCount ?? 0;
}

/** What the ledger holds of the current generation: the ranges of its batches, and how far its build came; as the ledger displays them. */
export async function listProof(session: Session, source: string, stream: string): Promise<{ readonly built: string | null; readonly ranges: readonly { readonly kind: string; readonly from: string; readonly to: string }[] }> {
  const { rows: built } = await session.query<{ display: string | null }>(
    "select g.display from tidemark.generation g join tidemark.watermark w using (source, stream, generation) where g.source = $1 and g.stream = $2 and g.state = 'current'",
    [source, stream],
  );
  const { rows } = await session.query<{ kind: string; from: string; to: string }>(
    `select distinct l.kind, l."from", l."to" from tidemark.ledger l join tidemark.watermark w using (source, stream, generation)
     where l.source = $1 and l.stream = $2 and l.kind in ('range', 'slice') and l."from" is not null and l."to" is not null`,
    [source, stream],
  );
  return { built: built[0]?.display ?? null, ranges: rows };
}
