/** Brings events to webhooks: at least once, in order for each stream. One relay works at a time; who that is, a lease decides. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Destination } from '../../destinations/postgres/destination.ts';
import { compactDeliveries, laneOf, listUndelivered, listWebhooks, markDelivered, markStalled, type StoredEvent, type Webhook } from '../../destinations/postgres/webhooks.ts';
import { describeError, logger } from '../../runtime/logging.ts';
import { registerSecret } from '../../runtime/secret-masking.ts';
import { resolveReferences, type Variables } from '../../schemas/config-references.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { shownUrl } from '../webhooks.ts';
import { CLOUD_EVENT_CONTENT, cloudEvent } from './cloud-event.ts';
import { WebhookClient, type Answer } from './webhook-request.ts';
import { parseWebhookSecret, signedHeaders } from './webhook-signature.ts';

export interface RelayOptions {
  /** Between two looks at the outbox, and between two at the list of webhooks where there is none. */
  readonly lookEveryMs: number;
  readonly idleMs: number;
  /** The first wait after a failure; each next one is twice as long, up to `retryMaxMs`. */
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
  /** Attempts in a row after which a stream counts as failed and is tried every `failedRetryMs`. */
  readonly failedAfter: number;
  readonly failedRetryMs: number;
}

export const RELAY_OPTIONS: RelayOptions = { lookEveryMs: 500, idleMs: 5_000, retryFirstMs: 1_000, retryMaxMs: 300_000, failedAfter: 10, failedRetryMs: 600_000 };

/** Streams of one webhook that are told at the same time; a receiver that does not answer holds up as many. */
const LANES_MAX = 4;
const EVENTS_OF_STREAM_MAX = 100;
const EVENTS_AT_ONCE_MAX = 400;
const COMPACT_EVERY_MS = 5_000;
/** A look that took long is not repeated at once: at most a tenth of the time goes into looking. */
const LOOK_SHARE = 10;

/** Delivers until the signal; failures of the destination end it with an error, those of receivers do not. */
export async function runRelay(destination: Destination, variables: () => Variables, signal: AbortSignal, options: RelayOptions = RELAY_OPTIONS): Promise<void> {
  const outlets = new Map<string, Outlet>();
  try {
    while (!signal.aborted) {
      const webhooks = await destination.session('reading webhooks', listWebhooks);
      for (const [key, outlet] of outlets) if (!webhooks.some((webhook) => keyOf(webhook) === key)) { outlets.delete(key); outlet.close(); }
      for (const webhook of webhooks) {
        const outlet = outlets.get(keyOf(webhook)) ?? new Outlet(destination, webhook, variables, signal, options);
        outlets.set(keyOf(webhook), outlet);
        await outlet.look();
      }
      await sleep(webhooks.length === 0 ? options.idleMs : options.lookEveryMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    for (const outlet of outlets.values()) outlet.close();
    await Promise.all([...outlets.values()].map((outlet) => outlet.settled()));
  }
}

/** Another configuration of a webhook is another outlet. */
function keyOf({ id, url, secret, types, insecure }: Webhook): string {
  return JSON.stringify([id, url, secret, types, insecure]);
}

/** One webhook: its connections, and the streams that are being told. */
class Outlet {
  readonly #destination: Destination;
  readonly #webhook: Webhook;
  readonly #variables: () => Variables;
  readonly #closing = new AbortController();
  readonly #signal: AbortSignal;
  readonly #options: RelayOptions;
  readonly #lanes = new Map<string, Promise<void>>();
  #client: { readonly url: string; readonly http: WebhookClient } | null = null;
  #nextLook = 0;
  #nextCompact = 0;

  constructor(destination: Destination, webhook: Webhook, variables: () => Variables, signal: AbortSignal, options: RelayOptions) {
    this.#destination = destination;
    this.#webhook = webhook;
    this.#variables = variables;
    this.#signal = AbortSignal.any([signal, this.#closing.signal]);
    this.#options = options;
  }

  /** Starts on what is to be delivered now, without waiting for it. */
  async look(): Promise<void> {
    if (this.#lanes.size >= LANES_MAX || Date.now() < this.#nextLook) return;
    const began = Date.now();
    const busy = [...this.#lanes.keys()];
    const events = await this.#destination.session('reading events', async (session) => {
      if (began >= this.#nextCompact) {
        await compactDeliveries(session, this.#webhook.id);
        this.#nextCompact = began + COMPACT_EVERY_MS;
      }
      return listUndelivered(session, this.#webhook.id, busy, EVENTS_OF_STREAM_MAX, EVENTS_AT_ONCE_MAX);
    });
    this.#nextLook = Date.now() + LOOK_SHARE * (Date.now() - began);
    const lanes = Map.groupBy(events, laneOf);
    for (const [lane, list] of [...lanes].slice(0, LANES_MAX - this.#lanes.size)) {
      const telling = this.#tell(list).catch((error: unknown) => this.#report(error)).finally(() => {
        this.#lanes.delete(lane);
        this.#nextLook = 0;
      });
      this.#lanes.set(lane, telling);
    }
  }

  /** Events of one stream, one after another, up to the first that is not taken. */
  async #tell(events: readonly StoredEvent[]): Promise<void> {
    for (const event of events) {
      if (this.#signal.aborted) return;
      const { error, retryAfterMs } = await this.#deliver(event);
      if (error !== null) return this.#stall(event, error, retryAfterMs);
      await this.#destination.session('noting a delivery', (session) => markDelivered(session, this.#webhook.id, event));
    }
  }

  async #deliver(event: StoredEvent): Promise<Answer> {
    let resolved: { url: string; secret: string };
    try {
      resolved = resolveReferences({ url: this.#webhook.url, secret: this.#webhook.secret }, this.#variables());
    } catch (error) {
      return { error: error instanceof TidemarkError ? error.code : 'config.invalid', retryAfterMs: null };
    }
    registerSecret(resolved.secret);
    const key = parseWebhookSecret(resolved.secret);
    if (key === null) return { error: 'config.key_missing', retryAfterMs: null };
    const body = cloudEvent(event);
    const headers = { 'content-type': CLOUD_EVENT_CONTENT, 'user-agent': 'tidemark', ...signedHeaders(event.eventId, Math.floor(Date.now() / 1_000), body, key) };
    return this.#http(resolved.url).post(body, headers, this.#signal);
  }

  #http(url: string): WebhookClient {
    if (this.#client?.url !== url) {
      this.#client?.http.close();
      this.#client = { url, http: new WebhookClient(url, this.#webhook.insecure) };
    }
    return this.#client.http;
  }

  async #stall(event: StoredEvent, error: string, retryAfterMs: number | null): Promise<void> {
    const { retryFirstMs, retryMaxMs, failedAfter, failedRetryMs } = this.#options;
    const waitMs = (attempts: number): number => (attempts >= failedAfter ? failedRetryMs : Math.min(retryFirstMs * 2 ** (attempts - 1), retryMaxMs)) * (0.75 + Math.random() / 2);
    const attempts = await this.#destination.session('noting a failed delivery', (session) => markStalled(session, this.#webhook.id, event, error, retryAfterMs, { waitMs, failedAfter }));
    if (attempts !== 1 && attempts !== failedAfter) return;
    const said = attempts === 1 ? 'a webhook did not take an event; it is tried again' : 'a webhook has not taken an event for a long time; it is tried now and then';
    logger({ component: 'relay' }).warn({ webhook: shownUrl(this.#webhook.url), source: event.source, stream: event.stream, failure: error, attempts }, said);
  }

  #report(error: unknown): void {
    if (!this.#signal.aborted) logger({ component: 'relay' }).warn({ webhook: shownUrl(this.#webhook.url), error: describeError(error) }, 'a delivery could not be noted; it is made again');
  }

  close(): void {
    this.#closing.abort();
    this.#client?.http.close();
  }

  async settled(): Promise<void> {
    await Promise.all(this.#lanes.values());
  }
}
