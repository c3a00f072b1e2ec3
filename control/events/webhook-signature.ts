/** Signatures of deliveries, as Standard Webhooks has them (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`. */
import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';
const KEY_BYTES_MIN = 24;

/** The key: `whsec_` and base64, else the text's own bytes. Null where it is shorter than 24 bytes, all one byte or no base64. */
export function parseWebhookSecret(text: string): Buffer | null {
  const trimmed = text.trim();
  const coded = trimmed.startsWith(PREFIX) ? trimmed.slice(PREFIX.length) : null;
  const key = coded === null ? Buffer.from(trimmed, 'utf8') : Buffer.from(coded, 'base64');
  if (coded !== null && key.toString('base64').replace(/=+$/, '') !== coded.replace(/=+$/, '')) return null;
  return key.length >= KEY_BYTES_MIN && new Set(key).size > 1 ? key : null;
}

/** The headers that let a receiver check who sent the body, and when. `seconds`: since the epoch. */
export function signedHeaders(id: string, seconds: number, body: string, key: Buffer): Record<string, string> {
  const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': String(seconds), 'webhook-signature': `v1,${signature}` };
}
