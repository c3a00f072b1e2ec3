/** The outbox: an event is written in the transaction in which what it tells of happens, and is delivered afterwards, at least once. */
import type { EventType } from '../../schemas/event-types.ts';
import type { BatchCounts } from '../../schemas/run.ts';
import type { Session } from './session.ts';

export type { EventType } from '../../schemas/event-types.ts';

export interface TidemarkEvent {
  readonly type: EventType;
  readonly source: string;
  /** Null where it concerns the source as a whole. */
  readonly stream: string | null;
  /** Ids, names, counts, codes; never a row, a key or a secret. */
  readonly data: Readonly<Record<string, unknown>>;
}

/** Writes an event in the caller's transaction: it stands only if that commits. */
export async function emitEvent(session: Session, event: TidemarkEvent): Promise<void> {
  await session.query('insert into tidemark.event (type, source, stream, data) values ($1, $2, $3, $4)', [event.type, event.source, event.stream, JSON.stringify(event.data)]);
}

/** What `DataSynced` tells of a batch; its bounds only where the cursor is a time. */
export function syncedData(batch: BatchFacts): Record<string, unknown> {
  const { read, written, unchanged, rejected, superseded, deleted } = batch;
  return { batch: batch.batch, kind: batch.kind, read, written, unchanged, rejected, superseded, deleted, watermark: { from: onlyTime(batch.from), to: onlyTime(batch.to) } };
}

interface BatchFacts extends BatchCounts {
  readonly batch: number;
  readonly kind: string;
  readonly from: string | null;
  readonly to: string | null;
}

/** Other cursors may be numbers of customers. */
function onlyTime(display: string | null): string | null {
  return display !== null && TIME.test(display) ? display : null;
}

const TIME = /^\d{4}-\d{2}-\d{2}([T ][\d:.,]+)?(Z|[+-][\d:]+)?$/;

/**
 * Tells that a build has taken the target's place, in the transaction of the swap, with the sums of its batches; every row may have changed.
 * Also marks the touch log so. `batch` is its last one.
 */
export async function emitSwapped(session: Session, source: string, stream: string, target: string, generation: number, touchLog: boolean): Promise<void> {
  await session.query(
    `with total as (select max(batch) as batch, sum(read) as read, sum(written) as written, sum(unchanged) as unchanged, sum(rejected) as rejected, sum(superseded) as superseded, sum(deleted) as deleted
         from tidemark.ledger where source = $1 and stream = $2 and generation = $4),
       touched as (insert into tidemark.touch (batch, source, stream) select batch, $1, $2 from total where batch is not null and $5)
     insert into tidemark.event (type, source, stream, data)
     select 'DataSynced', $1, $2, jsonb_build_object('target', $3::text, 'batch', batch, 'kind', 'swap', 'read', read, 'written', written, 'unchanged', unchanged, 'rejected', rejected,
       'superseded', superseded, 'deleted', deleted, 'watermark', jsonb_build_object('from', null, 'to', (select display from tidemark.watermark where source = $1 and stream = $2 and display ~ $6)))
     from total where batch is not null`,
    [source, stream, target, generation, touchLog, TIME.source],
  );
}
