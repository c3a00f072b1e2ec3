/** Target names for sources that fold unquoted names to upper case. */
import { createHash } from 'node:crypto';

/** PostgreSQL cuts names at this length. */
const NAME_BYTES_MAX = 63;
const HASH_DIGITS = 8;
/** Names that PostgreSQL gives to columns of its own. */
const TAKEN_BY_POSTGRES = new Set(['ctid', 'xmin', 'xmax', 'cmin', 'cmax', 'tableoid']);

function withHash(folded: string, name: string): string {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_DIGITS);
  let kept = '';
  for (const character of folded) {
    if (Buffer.byteLength(kept + character) > NAME_BYTES_MAX - HASH_DIGITS - 1) break;
    kept += character;
  }
  return `${kept}_${hash}`;
}

/**
 * Target names of a table's columns, in their order: lower case. A name that is too long, that PostgreSQL or Tidemark keeps for
 * itself, or that equals another's gets a hash of the source's name, so that it does not depend on the other columns' order; of
 * two names that differ in case only, the one that the source writes unquoted keeps the plain form.
 */
export function targetNames(names: readonly string[]): readonly string[] {
  const plain = new Map<string, string>();
  for (const name of names) {
    const folded = name.toLowerCase();
    if (!plain.has(folded) || name === name.toUpperCase()) plain.set(folded, name);
  }
  return names.map((name) => {
    const folded = name.toLowerCase();
    const kept = TAKEN_BY_POSTGRES.has(folded) || folded.startsWith('_tidemark_');
    const stands = plain.get(folded) === name && Buffer.byteLength(folded) <= NAME_BYTES_MAX && !kept;
    return stands ? folded : withHash(folded, name);
  });
}
