import type { Session } from '../../destinations/postgres/session.ts';
import { laneOf, listStalled, listWebhooks } from '../../destinations/postgres/webhooks.ts';
import { shownUrl } from '../webhooks.ts';

/** A webhook as `events` shows it. */
export interface WebhookReport {
  /** Without its path, which may hold a token. */
  readonly url: string;
  readonly types: readonly string[] | null;
  /** `ok`, or the worst of its streams. */
  readonly state: 'ok' | 'retrying' | 'failed';
  /** Events that were pruned before they could be delivered. */
  readonly dropped: number;
  readonly stalled: readonly { readonly source: string; readonly stream: string | null; readonly state: 'retrying' | 'failed'; readonly attempts: number; readonly since: string; readonly error: string }[];
}

export async function reportWebhooks(session: Session): Promise<WebhookReport[]> {
  const stalled = await listStalled(session);
  return (await listWebhooks(session)).map(({ id, url, types, dropped }) => {
    const own = stalled.filter((each) => each.webhook === id).map(({ source, stream, state, attempts, since, error }) => ({ source, stream, state, attempts, since, error }));
    return { url: shownUrl(url), types, state: own.some(({ state }) => state === 'failed') ? 'failed' : own.length > 0 ? 'retrying' : 'ok', dropped, stalled: own };
  });
}

/** Warnings for `status`, by {@link laneOf}: events that a webhook has not taken. */
export async function stalledWarnings(session: Session): Promise<ReadonlyMap<string, readonly string[]>> {
  const warnings = new Map<string, string[]>();
  for (const { url, stalled } of await reportWebhooks(session)) {
    for (const each of stalled) {
      const said = `events wait for the webhook ${url} since ${each.since.slice(0, 19)}Z: ${each.error}, ${each.attempts} attempts${each.state === 'failed' ? ', now tried every few minutes' : ''}`;
      warnings.set(laneOf(each), [...(warnings.get(laneOf(each)) ?? []), said]);
    }
  }
  return warnings;
}
