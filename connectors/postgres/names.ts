/** Names of tables as people write them, and the names that columns get in the target. */
import { createHash } from 'node:crypto';
import pg from 'pg';

/** PostgreSQL keeps this many bytes of a name. */
const NAME_BYTES_MAX = 63;
/** Columns that Tidemark adds to each target. */
const TARGET_OWN = new Set(['_tidemark_batch', '_tidemark_deleted_at']);

/** One part of a written name; `quoted` means: only exactly so. */
export interface NamePart {
  readonly text: string;
  readonly quoted: boolean;
}

/** Splits `schema.name` with SQL's quoting: `"My Table"`, `Sales."Order.Lines"`. Null where the quotes don't match. */
export function splitName(written: string): readonly NamePart[] | null {
  const pattern = /"((?:[^"]|"")+)"|([^".]+)/y;
  const parts: NamePart[] = [];
  let at = 0;
  for (;;) {
    pattern.lastIndex = at;
    const match = pattern.exec(written);
    if (!match) return null;
    const quoted = match[1] !== undefined;
    parts.push({ text: quoted ? match[1]!.replaceAll('""', '"') : match[2]!.trim(), quoted });
    at = pattern.lastIndex;
    if (at === written.length) return parts;
    if (written[at] !== '.') return null;
    at += 1;
  }
}

/** What a part may be in the catalog, best first: as written, then folded as SQL folds an unquoted name. */
export function spellings(part: NamePart): readonly string[] {
  const folded = part.text.toLowerCase();
  return part.quoted || folded === part.text ? [part.text] : [part.text, folded];
}

export const quoteName = (name: string): string => pg.escapeIdentifier(name);
export const quoteText = (text: string): string => pg.escapeLiteral(text);
export const qualified = (schema: string, name: string): string => `${quoteName(schema)}.${quoteName(name)}`;

/** Target names for all columns of a table: the same name, unless it is Tidemark's own or too long in UTF-8; unique. */
export function targetNames(names: readonly string[]): readonly string[] {
  const taken = new Set(names);
  return names.map((name) => {
    if (!TARGET_OWN.has(name) && Buffer.byteLength(name) <= NAME_BYTES_MAX) return name;
    let candidate = shorten(name);
    for (let i = 2; taken.has(candidate); i += 1) candidate = shorten(`${name}${i}`);
    taken.add(candidate);
    return candidate;
  });
}

function shorten(name: string): string {
  const suffix = `_${createHash('sha256').update(name).digest('hex').slice(0, 8)}`;
  let head = name;
  while (Buffer.byteLength(head) > NAME_BYTES_MAX - suffix.length) head = [...head].slice(0, -1).join('');
  return head + suffix;
}
