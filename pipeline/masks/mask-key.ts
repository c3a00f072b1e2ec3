import { createHash, hkdfSync } from 'node:crypto';
import { TidemarkError } from '../../schemas/errors.ts';

const KEY_BYTES = 32;
/** Hex digits of a key's id: enough to tell the keys of one house apart, and nothing of the key. */
const ID_DIGITS = 8;

/** A key for masks, as a worker holds it. Never stored, never logged. */
export interface MaskKey {
  readonly name: string;
  /** Stands in every value made with the key, so that a rotation is visible. */
  readonly id: string;
  readonly bytes: Buffer;
}

/** Keys by their names. */
export type MaskKeys = ReadonlyMap<string, MaskKey>;

/** Reads 32 bytes in base64. Throws `config.key_missing` that names the key for one that is absent, short or all one byte. */
export function parseMaskKey(name: string, text: string | undefined): MaskKey {
  const written = text?.trim() ?? '';
  if (written === '') throw refused(name, 'is not set, not readable or empty');
  const bytes = Buffer.from(written, 'base64');
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== written) throw refused(name, 'is not 32 bytes in base64');
  if (new Set(bytes).size === 1) throw refused(name, 'consists of one byte repeated');
  const id = createHash('sha256').update('tidemark key id\0').update(bytes).digest('hex').slice(0, ID_DIGITS);
  return { name, id, bytes };
}

/** Throws `config.key_missing` where `keys` lacks the name. */
export function requireKey(keys: MaskKeys, name: string): MaskKey {
  const key = keys.get(name);
  if (key === undefined) throw refused(name, 'is not among the keys of the source as applied');
  return key;
}

/** A key for one purpose, so that no key serves two algorithms (HKDF with SHA-256, RFC 5869). */
export function subkey(key: MaskKey, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key.bytes, '', `tidemark ${purpose}`, KEY_BYTES));
}

function refused(name: string, why: string): TidemarkError {
  return new TidemarkError('config.key_missing', `The key ${JSON.stringify(name)} for masks ${why}.`, {
    hint: 'Give the worker the variable or file that keys: names; make a key with: openssl rand -base64 32',
  });
}
