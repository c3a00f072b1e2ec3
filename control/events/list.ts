import type { Destination } from '../../destinations/postgres/destination.ts';
import { listEvents, type StoredEvent } from '../../destinations/postgres/webhooks.ts';
import { chooseSources } from '../choose-sources.ts';
import { reportWebhooks, type WebhookReport } from './stalled.ts';

export interface EventList {
  /** Newest first. */
  readonly events: readonly StoredEvent[];
  readonly webhooks: readonly WebhookReport[];
}

/** The last `limit` events of a source, or of all, and how the webhooks stand. Throws `usage.unknown_source` for one that neither catalog nor outbox has. */
export async function readEvents(destination: Destination, source: string | null, limit: number): Promise<EventList> {
  const found = await destination.session('reading events', async (session) => ({ events: await listEvents(session, source, limit), webhooks: await reportWebhooks(session) }));
  if (found.events.length === 0 && source !== null) await chooseSources(destination, [source], null);
  return found;
}
