import { Agent as HttpAgent, request as httpRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { guardedLookup, webhookUrlProblem } from './webhook-address.ts';

/** From the first byte sent to the head of the answer, name and connection included. */
const ANSWER_TIMEOUT_MS = 10_000;
/** What a receiver says is not looked at; a long answer is cut off. */
const ANSWER_BYTES_MAX = 64 * 1024;
const RETRY_AFTER_MAX_MS = 60 * 60 * 1_000;

/** What became of a delivery: `error` is null where the receiver took it, else a status or a code, never the receiver's words. */
export interface Answer {
  readonly error: string | null;
  /** What the receiver asks for. */
  readonly retryAfterMs: number | null;
}

/** Connections to one webhook, kept between deliveries. Owner: whoever made it. */
export class WebhookClient {
  readonly #url: URL;
  readonly #insecure: boolean;
  readonly #problem: string | null;
  readonly #agent: HttpAgent | HttpsAgent;

  constructor(url: string, insecure: boolean) {
    this.#problem = webhookUrlProblem(url, insecure);
    this.#url = new URL(this.#problem === null ? url : 'https://invalid.invalid');
    this.#insecure = insecure;
    const options = { keepAlive: true, maxSockets: 8, timeout: 30_000 };
    this.#agent = this.#url.protocol === 'http:' ? new HttpAgent(options) : new HttpsAgent(options);
  }

  /** One POST. Redirects are not followed, and only 2xx counts. Throws only what aborts. */
  async post(body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    if (this.#problem !== null) return { error: 'config.invalid', retryAfterMs: null };
    try {
      return await this.#send(body, headers, AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]));
    } catch (error) {
      signal.throwIfAborted();
      return { error: codeOf(error), retryAfterMs: null };
    }
  }

  #send(body: string, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Answer> {
    const plain = this.#url.protocol === 'http:';
    const lookup = guardedLookup(plain, this.#insecure);
    return new Promise((resolve, reject) => {
      const options = { method: 'POST', headers: { ...headers, 'content-length': Buffer.byteLength(body) }, agent: this.#agent, signal, lookup };
      const request = (plain ? httpRequest : httpsRequest)(this.#url, options, (response) => {
        drain(response);
        resolve(answerOf(response));
      });
      request.once('error', reject);
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

function answerOf(response: IncomingMessage): Answer {
  const status = response.statusCode ?? 0;
  if (status >= 200 && status < 300) return { error: null, retryAfterMs: null };
  const after = Number(response.headers['retry-after']);
  return { error: `HTTP ${status}`, retryAfterMs: Number.isFinite(after) && after > 0 ? Math.min(after * 1_000, RETRY_AFTER_MAX_MS) : null };
}

function drain(response: IncomingMessage): void {
  let bytes = 0;
  response.on('error', () => undefined);
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > ANSWER_BYTES_MAX) response.destroy();
  });
}

/** Time-outs come out as the abort of their signal. */
function codeOf(error: unknown): string {
  const { code, name } = Object(error) as { readonly code?: unknown; readonly name?: unknown };
  if (code === 'ABORT_ERR' || name === 'AbortError' || name === 'TimeoutError') return 'timeout';
  return typeof code === 'string' ? code : 'failed';
}
