import type { StoredEvent } from '../../destinations/postgres/webhooks.ts';

export const CLOUD_EVENT_CONTENT = 'application/cloudevents+json; charset=utf-8';

/** An event as CloudEvents 1.0 has it, structured, in JSON. The id is the same at every attempt, so a receiver can tell what it has. */
export function cloudEvent(event: StoredEvent): string {
  return JSON.stringify({
    specversion: '1.0',
    id: event.eventId,
    source: `tidemark/${encodeURIComponent(event.source)}`,
    type: `tidemark.${event.type}`,
    ...(event.stream === null ? {} : { subject: event.stream }),
    time: event.at,
    datacontenttype: 'application/json',
    data: event.data,
  });
}
