import { createHash } from 'node:crypto';
import { TidemarkError } from '../../schemas/errors.ts';

/** PostgreSQL cuts longer names in silence, so a longer one is never sent. */
const NAME_BYTES_MAX = 63;

/** A table by schema and name, unquoted. */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}

export function quoteIdent(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

export function quoteTable(table: TableName): string {
  return `${quoteIdent(table.schema)}.${quoteIdent(table.name)}`;
}

export function quoteLiteral(value: string): string {
  const quoted = `'${value.replaceAll("'", "''")}'`;
  return value.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** Splits `schema.table`; parts may be double-quoted. Throws `config.invalid`. */
export function parseTableName(text: string): TableName {
  const match = /^("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^"]+)$/.exec(text);
  if (!match) throw new TidemarkError('config.invalid', `The target ${text} is not of the form schema.table.`);
  return { schema: unquote(match[1]!), name: unquote(match[2]!) };
}

export function formatTableName(table: TableName): string {
  return `${table.schema}.${table.name}`;
}

/** A name that fits, `prefix` kept readable, told apart by a hash of the whole. */
export function boundedName(name: string): string {
  if (Buffer.byteLength(name) <= NAME_BYTES_MAX) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 8);
  let head = name;
  while (Buffer.byteLength(head) > NAME_BYTES_MAX - 9) head = head.slice(0, -1);
  return `${head}_${hash}`;
}

function unquote(part: string): string {
  return part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part;
}
