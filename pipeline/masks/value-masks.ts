/** What each kind of mask makes of one value. The sentinel NULL never comes here: it stays NULL under every mask. */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey } from 'node:crypto';
import { TidemarkError } from '../../schemas/errors.ts';
import { canonicalText, familyOf, type ValueFamily } from './canonical-text.ts';
import { hmacSha256, rememberFew } from './hmac-sha256.ts';
import { requireKey, subkey, type MaskKey, type MaskKeys } from './mask-key.ts';
import type { MaskedColumn } from './masked-columns.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const STARS = '****';
/** What `redact` leaves of every value. */
export const REDACTED = '[redacted]';

/** Masks one value, given as its own bytes `[from, to)`; `rowKey` tells the row for masks that want it. Null: nothing of the value may stand. */
export type ValueMask = (bytes: Buffer, from: number, to: number, rowKey: Buffer) => string | null;

/** Where an encrypted value belongs; bound into it, so that it can't be moved to another column or stream. */
export interface ValuePlace {
  readonly source: string;
  readonly stream: string;
  readonly column: string;
}

/** Throws `config.key_missing` where the mask's key is not among `keys`. */
export function valueMask(column: MaskedColumn, place: ValuePlace, keys: MaskKeys): ValueMask {
  const { mask } = column;
  const family = familyOf(column.type);
  switch (mask.kind) {
    case 'redact':
      return () => REDACTED;
    case 'date_year':
      return (bytes, from, to) => yearOnly(bytes.toString('latin1', from, to));
    case 'partial':
      return (bytes, from, to) => lastCharacters(canonicalText(bytes.subarray(from, to), family).toString('utf8'), mask.keep);
    case 'hmac':
      return hmacMask(requireKey(keys, mask.key), family);
    case 'encrypt':
      return encryptMask(requireKey(keys, mask.key), place);
  }
}

/** `h1.<key id>.<HMAC-SHA-256 of the canonical text, hex>`: the same wherever the value stands. */
function hmacMask(key: MaskKey, family: ValueFamily): ValueMask {
  const sign = hmacSha256(key.bytes);
  const head = `h1.${key.id}.`;
  const made = (bytes: Buffer, from: number, to: number): string => head + sign(bytes, from, to);
  if (family === 'text') return rememberFew(made);
  return rememberFew((bytes, from, to) => {
    const text = canonicalText(bytes.subarray(from, to), family);
    return made(text, 0, text.length);
  });
}

/**
 * `e1.<key id>.<base64url of nonce, ciphertext, tag>`, AES-256-GCM. The nonce is made from place, row key and value, so that an unchanged
 * row stays unchanged and equal values of two rows look different.
 */
function encryptMask(key: MaskKey, place: ValuePlace): ValueMask {
  const secret = createSecretKey(subkey(key, 'mask encrypt'));
  const nonceKey = createSecretKey(subkey(key, 'mask nonce'));
  const bound = associated(key, place);
  const head = `e1.${key.id}.`;
  return (bytes, from, to, rowKey) => {
    const value = bytes.subarray(from, to);
    const nonce = createHmac('sha256', nonceKey).update(bound).update(lengthOf(rowKey)).update(rowKey).update(value).digest().subarray(0, NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', secret, nonce, { authTagLength: TAG_BYTES });
    cipher.setAAD(bound);
    const sealed = cipher.update(value);
    cipher.final();
    return head + Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString('base64url');
  };
}

/** The value that `encrypt` hid. Throws `mask.unreadable` for another key, column or stream, or a changed text. */
export function decryptValue(masked: string, place: ValuePlace, key: MaskKey): Buffer {
  const [kind, id, body] = masked.split('.');
  const bytes = Buffer.from(body ?? '', 'base64url');
  try {
    if (kind !== 'e1' || id !== key.id || bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('form');
    const decipher = createDecipheriv('aes-256-gcm', subkey(key, 'mask encrypt'), bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(associated(key, place));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]);
  } catch {
    throw new TidemarkError('mask.unreadable', `A value of ${place.column} can't be decrypted with the key ${JSON.stringify(key.name)}.`, {
      hint: 'The key id in the value says which key made it; it can be read only as a value of its own source, stream and column.',
    });
  }
}

/** The parts with their lengths, so that no two lists look alike. */
export function lengthPrefixed(parts: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => {
    const bytes = Buffer.from(part);
    return [lengthOf(bytes), bytes];
  }));
}

function associated(key: MaskKey, { source, stream, column }: ValuePlace): Buffer {
  return lengthPrefixed(['e1', key.id, source, stream, column]);
}

function lengthOf(bytes: Buffer): Buffer {
  const length = Buffer.allocUnsafe(4);
  length.writeUInt32BE(bytes.length);
  return length;
}

/** A value that is no longer than what may be seen shows nothing. The number of stars says nothing of the length. */
function lastCharacters(text: string, keep: number): string {
  const characters = [...text];
  return characters.length <= keep || keep === 0 ? STARS : STARS + characters.slice(-keep).join('');
}

/** The first of January of a date's year, whatever its era; what is no date says nothing. */
function yearOnly(text: string): string | null {
  if (text === 'infinity' || text === '-infinity') return text;
  const year = /^(\d{4,})-\d\d-\d\d/.exec(text)?.[1];
  return year === undefined ? null : `${year}-01-01${text.endsWith(' BC') ? ' BC' : ''}`;
}
