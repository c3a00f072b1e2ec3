/** Names: as SQL quotes them, and which table a file means. */

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
