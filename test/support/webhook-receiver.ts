/** The far end of webhooks: an HTTP server that keeps what it was sent and answers as the test says. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onFileEnd } from './release.ts';

export interface Delivery {
  readonly id: string;
  readonly type: string;
  readonly source: string;
  readonly subject: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;
  readonly event: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A status, what is sent beside it, or silence. */
export type Reply = number | { readonly status: number; readonly headers: Readonly<Record<string, string>> } | 'silence';

export class WebhookReceiver {
  /** All that was sent, answered well or not. */
  readonly deliveries: Delivery[] = [];
  reply: (delivery: Delivery) => Reply = () => 204;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<WebhookReceiver> {
    const server = createServer();
    const receiver = new WebhookReceiver(server);
    // A sender that is killed half way through a request leaves nothing to keep.
    server.on('request', (request, response) => void receiver.#take(request, response).catch(() => response.destroy()));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onFileEnd(() => receiver.stop());
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook?token=t0ken`;
  }

  /** Events of a stream in the order in which they were first taken. */
  taken(subject?: string): Delivery[] {
    const seen = new Set<string>();
    return this.deliveries.filter((each) => (subject === undefined || each.subject === subject) && this.reply(each) === 204 && !seen.has(each.id) && seen.add(each.id));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString();
    const event = JSON.parse(body) as Record<string, unknown>;
    const delivery: Delivery = {
      id: String(event['id']), type: String(event['type']), source: String(event['source']), subject: event['subject'] as string | undefined,
      data: event['data'] as Record<string, unknown>, event, headers: request.headers, body,
    };
    this.deliveries.push(delivery);
    const reply = this.reply(delivery);
    if (reply === 'silence') return;
    const { status, headers } = typeof reply === 'number' ? { status: reply, headers: {} } : reply;
    response.writeHead(status, headers).end();
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** By the words of the Standard Webhooks convention, and by nothing of Tidemark. */
export function isSigned({ headers, body }: Delivery, secret: string): boolean {
  const key = Buffer.from(secret.replace(/^whsec_/, ''), 'base64');
  const expected = createHmac('sha256', key).update(`${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${body}`).digest();
  return String(headers['webhook-signature']).split(' ').some((each) => {
    const [version, signature = ''] = each.split(',');
    const bytes = Buffer.from(signature, 'base64');
    return version === 'v1' && bytes.length === expected.length && timingSafeEqual(bytes, expected);
  });
}
