/** Receivers of events as applied, and how far each has come: events are consumed as a set, since one with a lower id may commit later. */
import type { EventType } from '../../schemas/event-types.ts';
import type { WebhookSettings } from '../../schemas/settings.ts';
import { isoUtc } from './runs.ts';
import type { Session } from './session.ts';

export interface Webhook extends WebhookSettings {
  readonly id: number;
  /** Events that were pruned before they could be delivered. */
  readonly dropped: number;
}

export interface StoredEvent {
  /** Order within a stream. */
  readonly id: number;
  /** Stable name of the event for receivers. */
  readonly eventId: string;
  readonly type: EventType;
  readonly source: string;
  /** Null: the source as a whole. */
  readonly stream: string | null;
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** A stream whose next event a webhook has not taken. */
export interface Stalled {
  readonly webhook: number;
  readonly source: string;
  readonly stream: string | null;
  /** `failed`: given up on for the moment, still tried at long intervals. */
  readonly state: 'retrying' | 'failed';
  readonly attempts: number;
  readonly since: string;
  /** A status, a code of the network or of Tidemark; never what the receiver said. */
  readonly error: string;
}

const EVENT = `e.id::float8, e.event_id as "eventId", e.type, e.source, e.stream, ${isoUtc('e.at')} as at, e.data`;

export async function listWebhooks(session: Session): Promise<Webhook[]> {
  const { rows } = await session.query<Webhook>('select id::float8, url, secret, types, insecure, dropped::float8 from tidemark.webhook order by id');
  return rows;
}

/** Registers or changes a webhook. A new one is told of what happens from now on. */
export async function saveWebhook(session: Session, webhook: WebhookSettings): Promise<void> {
  await session.query(
    `insert into tidemark.webhook (url, secret, types, insecure) values ($1, $2, $3, $4)
     on conflict (url) do update set secret = excluded.secret, types = excluded.types, insecure = excluded.insecure, applied_at = clock_timestamp()`,
    [webhook.url, webhook.secret, webhook.types, webhook.insecure],
  );
  await session.query('delete from tidemark.webhook_stream s using tidemark.webhook w where w.url = $1 and s.webhook = w.id', [webhook.url]);
}

export async function removeWebhook(session: Session, url: string): Promise<void> {
  await session.query('delete from tidemark.webhook where url = $1', [url]);
}

const NOT_DELIVERED = `e.xid >= w.low and (w.types is null or e.type = any (w.types)) and not exists (select from tidemark.webhook_delivery d where d.webhook = w.id and d.event = e.id)`;

/**
 * The next events of a webhook, at most `perStream` of each stream and `max` in all; of a stream in the order of their ids. Left out: streams that
 * wait before the next attempt, and `busy` ones, given as {@link laneOf} names them.
 */
export async function listUndelivered(session: Session, webhook: number, busy: readonly string[], perStream: number, max: number): Promise<StoredEvent[]> {
  const { rows } = await session.query<StoredEvent>(
    `select e.id, e."eventId", e.type, e.source, e.stream, e.at, e.data from (
       select ${EVENT}, row_number() over (partition by e.source, e.stream order by e.id) as n
       from tidemark.webhook w, tidemark.event e
       where w.id = $1 and ${NOT_DELIVERED} and not e.source || E'\\n' || coalesce(e.stream, '') = any ($2::text[])
         and not exists (select from tidemark.webhook_stream s where s.webhook = w.id and s.source = e.source and s.stream = coalesce(e.stream, '') and s.next_at > clock_timestamp())) e
     where e.n <= $3 order by e.id limit $4`,
    [webhook, busy, perStream, max],
  );
  return rows;
}

/** What is delivered in order: the events of one stream, or of one source as a whole. */
export function laneOf(event: Pick<StoredEvent, 'source' | 'stream'>): string {
  return `${event.source}\n${event.stream ?? ''}`;
}

/** Notes that a webhook has taken an event. Idempotent. */
export async function markDelivered(session: Session, webhook: number, event: StoredEvent): Promise<void> {
  await session.query(
    `with recovered as (delete from tidemark.webhook_stream where webhook = $1 and source = $3 and stream = coalesce($4, ''))
     insert into tidemark.webhook_delivery (webhook, event) values ($1, $2) on conflict do nothing`,
    [webhook, event.id, event.source, event.stream],
  );
}

/** Notes a failed attempt at a stream's next event. Returns how many there were in a row. `waitMs` of that number: until the next one. */
export async function markStalled(session: Session, webhook: number, event: StoredEvent, error: string, retryAfterMs: number | null, plan: { readonly waitMs: (attempts: number) => number; readonly failedAfter: number }): Promise<number> {
  const id = [webhook, event.source, event.stream];
  const { rows } = await session.query<{ attempts: number }>("select attempts from tidemark.webhook_stream where webhook = $1 and source = $2 and stream = coalesce($3, '')", id);
  const attempts = (rows[0]?.attempts ?? 0) + 1;
  await session.query(
    `insert into tidemark.webhook_stream (webhook, source, stream, state, attempts, next_at, error) values ($1, $2, coalesce($3, ''), $4, $5, clock_timestamp() + $6 * interval '1 millisecond', $7)
     on conflict (webhook, source, stream) do update set state = excluded.state, attempts = excluded.attempts, next_at = excluded.next_at, error = excluded.error`,
    [...id, attempts >= plan.failedAfter ? 'failed' : 'retrying', attempts, Math.max(plan.waitMs(attempts), retryAfterMs ?? 0), error],
  );
  return attempts;
}

export async function listStalled(session: Session): Promise<Stalled[]> {
  const { rows } = await session.query<Stalled>(
    `select webhook::float8, source, nullif(stream, '') as stream, state, attempts, ${isoUtc('since')} as since, error from tidemark.webhook_stream order by webhook, source, stream`,
  );
  return rows;
}

/**
 * Forgets single deliveries below the first event that is not delivered and the oldest transaction that may still write one. In one snapshot: what
 * it sees below its own xmin is all that will ever be there.
 */
export async function compactDeliveries(session: Session, webhook: number): Promise<void> {
  // A copy of this database on another server counts transactions anew.
  await session.query("update tidemark.webhook set low = '0' where id = $1 and low > pg_snapshot_xmax(pg_current_snapshot())", [webhook]);
  await session.query(
    `update tidemark.webhook w set low = greatest(w.low, least(pg_snapshot_xmin(pg_current_snapshot()), coalesce(
       (select e.xid from tidemark.event e where ${NOT_DELIVERED} order by e.xid limit 1), pg_snapshot_xmin(pg_current_snapshot())))) where w.id = $1`,
    [webhook],
  );
  await session.query(
    `delete from tidemark.webhook_delivery d using tidemark.webhook w where w.id = $1 and d.webhook = w.id
       and not exists (select from tidemark.event e where e.id = d.event and e.xid >= w.low)`,
    [webhook],
  );
}

/** The newest events, of a source or all. */
export async function listEvents(session: Session, source: string | null, limit: number): Promise<StoredEvent[]> {
  const { rows } = await session.query<StoredEvent>(`select ${EVENT} from tidemark.event e where $1::text is null or e.source = $1 order by e.id desc limit $2`, [source, limit]);
  return rows;
}

/** How long the outbox keeps events, and how many. Such as are not delivered yet stay up to the harder bounds, and are counted where they go. */
export interface OutboxBounds {
  readonly keepDays: number;
  readonly rowsMax: number;
  readonly undeliveredDays: number;
  readonly undeliveredRowsMax: number;
}

/** Removes at most `max` events past their time, oldest first. Returns how many. */
export async function pruneEvents(session: Session, bounds: OutboxBounds, max: number): Promise<number> {
  const { rowCount } = await session.query(
    `with newest as (select max(id) as id from tidemark.event),
     oldest as (
       select e.id, e.type, e.xid, e.at < clock_timestamp() - $3 * interval '1 day' or e.id <= n.id - $4::bigint as hard
       from tidemark.event e, newest n where e.at < clock_timestamp() - $1 * interval '1 day' or e.id <= n.id - $2::bigint order by e.id limit $5),
     waiting as (select w.id as webhook, e.id as event, e.hard from oldest e, tidemark.webhook w where ${NOT_DELIVERED}),
     gone as (delete from tidemark.event e using oldest o where e.id = o.id and (o.hard or not exists (select from waiting where event = o.id)) returning e.id),
     counted as (update tidemark.webhook w set dropped = w.dropped + lost.n from (select webhook, count(*) as n from waiting where hard group by webhook) lost where w.id = lost.webhook)
     select from gone`,
    [bounds.keepDays, bounds.rowsMax, bounds.undeliveredDays, bounds.undeliveredRowsMax, max],
  );
  return rowCount ?? 0;
}
