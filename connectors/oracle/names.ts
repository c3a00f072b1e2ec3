import { createHash } from 'node:crypto';

/** PostgreSQL cuts names at this length. */
const NAME_BYTES_MAX = 63;
const HASH_DIGITS = 8;

/** Names that PostgreSQL gives to columns of its own. */
const TAKEN_BY_POSTGRES = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

/**
 * Target names of a table's columns, in their order: lower case. A name that is too long, that PostgreSQL or Tidemark keeps for itself, or that
 * equals another's ends with a hash of the source's name, so that it does not depend on the other columns' order; of two
 * names that differ in case only, the one the source writes unquoted keeps the plain form.
 */
export function targetNames(names: readonly string[]): readonly string[] {
  const plain = new Map<string, string>();
  for (const name of names) {
    const folded = name.toLowerCase();
    if (!plain.has(folded) || name === name.toUpperCase()) plain.set(folded, name);
  }
  return names.map((name) => {
    const folded = name.toLowerCase();
    const stands = plain.get(folded) === name && Buffer.byteLength(folded) <= NAME_BYTES_MAX && !TAKEN_BY_POSTGRES.has(folded) && !folded.startsWith('_tidemark_');
    return stands ? folded : withHash(folded, name);
  });
}

function withHash(folded: string, name: string): string {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_DIGITS);
  let kept = folded;
  while (Buffer.byteLength(kept) > NAME_BYTES_MAX - HASH_DIGITS - 1) kept = [...kept].slice(0, -1).join('');
  return `${kept}_${hash}`;
}

/** A name in double quotes. Oracle admits no double quote and no NUL inside a name. */
export function quoteName(name: string): string {
  if (name === '' || /["\u0000]/.test(name)) throw new RangeError('not a name of an Oracle object');
  return `"${name}"`;
}

/** `"SCHEMA"."TABLE"` */
export function quoteTable(table: { readonly schema: string; readonly name: string }): string {
  return `${quoteName(table.schema)}.${quoteName(table.name)}`;
}

/** A name as Oracle reads it: quoted parts as they stand, unquoted ones in upper case. Null where it is no such name. */
export function parseName(written: string): readonly string[] | null {
  const parts: string[] = [];
  const part = /\s*(?:"([^"\u0000]+)"|([^".\s]+))\s*(\.|$)/y;
  for (;;) {
    const match = part.exec(written);
    if (match === null) return null;
    parts.push(match[1] ?? (match[2] as string).toUpperCase());
    if (match[3] === '') return part.lastIndex === written.length ? parts : null;
  }
}
