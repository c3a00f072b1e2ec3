/** Names: as targets bear them, as SQL quotes them, and which table a file means. */
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

/** A name in double quotes, whatever is in it. */
export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export function quoteTable(table: TableName): string {
  return `${quoteName(table.schema)}.${quoteName(table.name)}`;
}

/** Parts of a name as the source reads it: quoted ones as they stand, others in upper case. Null where it is no such name. */
function partsOf(written: string): readonly string[] | null {
  const parts: string[] = [];
  const part = /\s*(?:"((?:[^"]|"")+)"|([^".\s]+))\s*(\.|$)/y;
  for (;;) {
    const match = part.exec(written);
    if (match === null) return null;
    parts.push(match[1]?.replaceAll('""', '"') ?? (match[2] ?? '').toUpperCase());
    if (match[3] === '') return parts.length <= 2 ? parts : null;
  }
}

/** What a written name may mean, best first: exactly that table of the current schema, exactly `schema.name`, then as the source reads it. */
export function readingsOf(written: string, currentSchema: string): readonly TableName[] {
  const readings: TableName[] = [{ schema: currentSchema, name: written }];
  const dot = written.indexOf('.');
  if (dot > 0) readings.push({ schema: written.slice(0, dot), name: written.slice(dot + 1) });
  const parts = partsOf(written);
  const [first, second] = parts ?? [];
  if (first !== undefined) readings.push(second === undefined ? { schema: currentSchema, name: first } : { schema: first, name: second });
  return readings;
}

/** Similar names for a hint: those that contain the name or are contained in it. */
export function nearNames(written: string, tables: readonly TableName[]): readonly string[] {
  const bare = (written.split('.').at(-1) ?? written).replaceAll('"', '').toUpperCase();
  return tables
    .filter(({ name }) => name.toUpperCase().includes(bare) || bare.includes(name.toUpperCase()))
    .slice(0, 3)
    .map(({ schema, name }) => `${schema}.${name}`);
}
