/**
 * Positions and parts hold values of key columns. Where such a column is masked they are stored encrypted, with a key that
 * only workers have; what people see of a position (`display`, a value of the cursor, which is never masked) stays.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Part, Position } from '../../schemas/position.ts';
import { requireKey, subkey, type MaskKey, type MaskKeys } from './mask-key.ts';
import type { MaskPlan } from './masked-columns.ts';
import { lengthPrefixed } from './value-masks.ts';

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const PURPOSE = 'position';
const ROOT = 'sealed';

/** How a stream's positions are stored. */
export interface PositionSeal {
  sealPosition(position: Position): Position;
  openPosition(position: Position): Position;
  sealPart(part: Part): Part;
  openPart(part: Part): Part;
}

const OPEN: PositionSeal = { sealPosition: (position) => position, openPosition: (position) => position, sealPart: (part) => part, openPart: (part) => part };

/** Throws `config.key_missing` where the key is absent. What it returns throws `mask.unreadable` where another key sealed. */
export function positionSeal(masks: MaskPlan, owner: { readonly source: string; readonly stream: string }, keys: MaskKeys): PositionSeal {
  if (masks.positionKey === null) return OPEN;
  const key = requireKey(keys, masks.positionKey);
  const bound = lengthPrefixed([ROOT, key.id, owner.source, owner.stream]);
  const hide = (value: unknown) => seal(JSON.stringify(value), key, bound);
  const ends = (written: readonly string[] | null, turn: (values: readonly string[]) => readonly string[]) => (written === null ? null : turn(written));
  return {
    sealPosition: (position) => ({ ...position, state: { [ROOT]: hide(position.state) } }),
    openPosition: (position) => ({ ...position, state: open(position.state[ROOT], key, bound) as Position['state'] }),
    sealPart: (part) => ({ ...part, from: ends(part.from, (values) => [hide(values)]), to: ends(part.to, (values) => [hide(values)]) }),
    openPart: (part) => ({ ...part, from: ends(part.from, ([text]) => open(text, key, bound) as string[]), to: ends(part.to, ([text]) => open(text, key, bound) as string[]) }),
  };
}

function seal(text: string, key: MaskKey, bound: Buffer): string {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', subkey(key, PURPOSE), nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(bound);
  return `${key.id}.${Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64url')}`;
}

function open(sealed: unknown, key: MaskKey, bound: Buffer): unknown {
  try {
    const [id, body] = String(sealed).split('.');
    const bytes = Buffer.from(body ?? '', 'base64url');
    if (id !== key.id || bytes.length < NONCE_BYTES + TAG_BYTES) throw new Error('form');
    const decipher = createDecipheriv('aes-256-gcm', subkey(key, PURPOSE), bytes.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES });
    decipher.setAAD(bound);
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8'));
  } catch {
    throw new TidemarkError('mask.unreadable', `The stored position can't be decrypted with the key ${JSON.stringify(key.name)}.`, { hint: 'The key was changed: the next sync builds the target anew.' });
  }
}
