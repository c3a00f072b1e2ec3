/** Names: those a target can bear, and which table a file means. */
import { createHash } from 'node:crypto';

const NAME_BYTES_MAX = 63;
/** PostgreSQL keeps these for itself in every table. */
const SYSTEM_COLUMNS = new Set(['ctid', 'xmin', 'cmin', 'xmax', 'cmax', 'tableoid']);

function shortened(name: string): string {
  const suffix = `_${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
  let kept = '';
  for (const character of name) {
    if (Buffer.byteLength(kept + character) + suffix.length > NAME_BYTES_MAX) break;
    kept += character;
  }
  return kept + suffix;
}

/**
 * Target names of one table's columns, in order: as they are; shortened with a hash beyond 63 bytes (MySQL allows 64 characters);
 * with a trailing `_` where PostgreSQL or Tidemark keeps the name for itself. Never two alike.
 */
export function targetNames(names: readonly string[]): readonly string[] {
  const taken = new Set<string>();
  return names.map((name) => {
    let target = SYSTEM_COLUMNS.has(name) || name.startsWith('_tidemark_') ? `${name}_` : name;
    if (Buffer.byteLength(target) > NAME_BYTES_MAX) target = shortened(target);
    while (taken.has(target)) target = shortened(`${target}+`);
    taken.add(target);
    return target;
  });
}

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

const PART = /`((?:[^`]|``)+)`|([^`.]+)/y;

/** `schema.name` or `name`, each part bare or in backticks; null where it is neither. */
function parseName(written: string): readonly string[] | null {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    PART.lastIndex = at;
    const match = PART.exec(written);
    if (match === null) return null;
    parts.push(match[1]?.replaceAll('``', '`') ?? match[2] ?? '');
    at = PART.lastIndex;
    if (at === written.length) return parts.length <= 2 ? parts : null;
    if (written[at] !== '.') return null;
    at += 1;
  }
}

/** What a written name may mean, best first: exactly that table in the connection's database, then `schema.name`. */
export function readingsOf(written: string, database: string): readonly TableName[] {
  const parts = parseName(written);
  const exact = { schema: database, name: written };
  if (parts === null) return [exact];
  const [first = '', second] = parts;
  return [exact, second === undefined ? { schema: database, name: first } : { schema: first, name: second }];
}
