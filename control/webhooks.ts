/** Webhooks of the file against those of the catalog: what `apply` does about them. */
import type { Session } from '../destinations/postgres/destination.ts';
import { listWebhooks, removeWebhook, saveWebhook } from '../destinations/postgres/webhooks.ts';
import type { WebhookSettings } from '../schemas/settings.ts';

interface WebhookChange {
  readonly action: 'add_webhook' | 'change_webhook' | 'remove_webhook';
  readonly object: string;
  readonly destructive: false;
  readonly detail: string;
  readonly make: (session: Session) => Promise<void>;
}

/** `session` null: nothing is known of the catalog. */
export async function planWebhooks(session: Session | null, wanted: readonly WebhookSettings[]): Promise<WebhookChange[]> {
  const known = session === null ? [] : await listWebhooks(session);
  const saved = wanted.flatMap((webhook): WebhookChange[] => {
    const before = known.find(({ url }) => url === webhook.url);
    if (before !== undefined && imageOf(before) === imageOf(webhook)) return [];
    return [{
      action: before === undefined ? 'add_webhook' : 'change_webhook', object: shownUrl(webhook.url), destructive: false,
      detail: webhook.types === null ? 'all events' : webhook.types.join(', '), make: (inner) => saveWebhook(inner, webhook),
    }];
  });
  const removed = known.filter((webhook) => !wanted.some(({ url }) => url === webhook.url));
  return [...saved, ...removed.map(({ url }): WebhookChange => ({ action: 'remove_webhook', object: shownUrl(url), destructive: false, detail: 'it is told of nothing any more', make: (inner) => removeWebhook(inner, url) }))];
}

function imageOf({ url, secret, types, insecure }: WebhookSettings): string {
  return JSON.stringify([url, secret, types, insecure]);
}

/** A URL as it may be shown: its path and query may hold a token. A reference is shown as it is written. */
export function shownUrl(written: string): string {
  if (URL.canParse(written) && !written.includes('${')) return new URL(written).origin;
  return /^\$\{\w+\}$/.test(written) ? written : (/^[a-z]+:\/\/[^/?#]*/i.exec(written)?.[0] ?? 'webhook');
}
