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
