/**
 * Rows hashed inside the server, in the forms of `schemas/comparison.ts`, so that PostgreSQL comes to the same hashes.
 *
 * | MySQL, MariaDB | form |
 * |---|---|
 * | whole numbers, year, decimal | `number` |
 * | tinyint(1) as boolean | `boolean` |
 * | date; datetime, timestamp | `date`; `datetime` with six digits |
 * | char, varchar, text, enum, set, uuid | `text` in UTF-8 |
 * | binary, varbinary, blob | `bytes` |
 * | float, double, time, bit, json, geometry, inet, vector | none: compared through the extract |
 */
import type { Bucket, Digest, DigestPlan, Form } from '../../schemas/comparison.ts';
import type { Column } from '../../schemas/table.ts';
import type { RowRead, StreamRead } from '../connector.ts';
import { columnOf, compareExpression, literal, selectExpression } from './columns.ts';
import { readAsOf } from './incremental.ts';
import { quoteName, quoteTable, quoteText } from './quoting.ts';
import { beginSnapshot, keyColumns, selectRows } from './range.ts';
import { rowsOf, type Source } from './source.ts';
import { baseType, encodingOf } from './types.ts';
import { tableName } from './watermark.ts';

const INTEGERS = /^(smallint|integer|bigint|numeric)(\(|$)/;
const TIMES = /^timestamp/;
const CHARACTERS = /^(text$|character)/;

export function planRowDigest(stream: StreamRead, targetTypes: readonly string[]): DigestPlan | null {
  const columns = stream.columns.map((name, i) => ({ column: name, form: formOf(columnOf(stream.table, name), targetTypes[i] ?? '') }));
  if (columns.some(({ form }) => form === null)) return null;
  return { algorithm: 'md5', columns: columns.map(({ column, form }) => ({ column, form: form ?? 'text' })), probe: '' };
}

/** Null also where the target's type was widened beyond the form. */
function formOf(column: Column, target: string): Form | null {
  const base = baseType(column);
  const encoding = encodingOf(column);
  if (encoding === 'boolean') return target === 'boolean' ? 'boolean' : null;
  if (/int$|^year$|^decimal$/.test(base)) return INTEGERS.test(target) ? 'number' : null;
  if (encoding === 'date') return target === 'date' ? 'date' : null;
  if (encoding === 'timestamp' || encoding === 'timestamptz') return TIMES.test(target) ? 'datetime' : null;
  if (encoding === 'text' || base === 'uuid') return CHARACTERS.test(target) || target === 'uuid' ? 'text' : null;
  return encoding === 'bytes' && base !== 'vector' && target === 'bytea' ? 'bytes' : null;
}

/** A zero date that the stream reads as NULL is compared as one. */
function dateOf(column: Column, name: string, stream: StreamRead): string {
  return stream.types['zero_dates'] === 'null' ? `NULLIF(${name}, ${baseType(column) === 'date' ? "'0000-00-00'" : "'0000-00-00 00:00:00'"})` : name;
}

/** Pieces of a row's text, none NULL; bytes, so that columns of different collations can stand in one text. */
function pieces(column: Column, form: Form, stream: StreamRead): string[] {
  const name = quoteName(column.name);
  const bytes = (text: string): string => `COALESCE(CAST(${text} AS BINARY), '')`;
  switch (form) {
    case 'text': {
      const text = `CAST(CONVERT(${name} USING utf8mb4) AS BINARY)`;
      return [`COALESCE(LENGTH(${text}), -1)`, `COALESCE(${text}, '')`];
    }
    case 'number':
      // Adding 0 takes the zeros of ZEROFILL away.
      return [bytes(baseType(column) === 'decimal' && /,[1-9]\d*\)/.test(column.nativeType) ? `TRIM(TRAILING '.' FROM TRIM(TRAILING '0' FROM (${name}+0)))` : `(${name}+0)`)];
    case 'boolean':
      return [bytes(`(${name}+0)`)];
    case 'date':
      return [bytes(dateOf(column, name, stream))];
    case 'datetime':
      return [bytes(`CAST(${dateOf(column, name, stream)} AS DATETIME(6))`)];
    default:
      return [`COALESCE(MD5(${name}), '')`];
  }
}

/** A row that is too long for the server to join (max_allowed_packet) hashes to zeros: it is then told apart by a second look. */
function hashedRows(stream: StreamRead, plan: DigestPlan): string {
  const all = plan.columns.flatMap(({ column, form }) => pieces(columnOf(stream.table, column), form, stream));
  const hash = `COALESCE(MD5(CONCAT_WS(',', ${all.join(', ')})), REPEAT('0', 32))`;
  const half = (from: number): string => `CAST(CONV(SUBSTR(${hash}, ${from}, 16), 16, -10) AS SIGNED)`;
  const key = keyColumns(stream).map((column, i) => `${selectExpression(column)} AS k${i}`);
  return `(SELECT ${[...key, `${half(1)} AS h0`, `${half(17)} AS h1`].join(', ')} FROM ${quoteTable(stream.table)}) d`;
}

export async function beginRowDigest(source: Source, stream: StreamRead, plan: DigestPlan, buckets: number): Promise<Digest> {
  const { connection } = source;
  await beginSnapshot(connection, tableName(stream));
  const asOf = await readAsOf(connection);
  const rows = await connection.query(`SELECT h0 & ${buckets - 1} AS bucket, COUNT(*), SUM(h0), SUM(h1) FROM ${hashedRows(stream, plan)} GROUP BY bucket`, tableName(stream));
  return { asOf, buckets: rows.map(([bucket, count, s0, s1]): Bucket => ({ bucket: Number(bucket), rows: Number(count), sums: [s0 ?? '0', s1 ?? '0'] })) };
}

/** In the snapshot that {@link beginRowDigest} began. */
export function openRowDigestKeys(source: Source, stream: StreamRead, plan: DigestPlan, buckets: number, chosen: readonly number[]): RowRead {
  const hash = (name: string): Column => ({ name, targetName: name, nativeType: 'bigint', pgType: 'bigint', nullable: false, order: 'none' });
  const hashes = [hash('tidemark h0'), hash('tidemark h1')];
  const read: StreamRead = { ...stream, table: { ...stream.table, columns: [...keyColumns(stream), ...hashes] }, columns: [...stream.key, ...hashes.map(({ name }) => name)] };
  const names = [...stream.key.map((_, i) => `k${i}`), 'h0', 'h1'].join(', ');
  const where = chosen.length >= buckets ? '' : ` WHERE h0 & ${buckets - 1} IN (${chosen.join(', ')})`;
  return rowsOf(source, read, [`SELECT ${names} FROM ${hashedRows(stream, plan)}${where}`]);
}

/** See {@link SourceSession.readKeys}. */
export async function openKeys(source: Source, stream: StreamRead, keys: readonly (readonly string[])[]): Promise<RowRead> {
  const columns = keyColumns(stream);
  const tuples = keys.map((values) => `(${columns.map((column, i) => keyLiteral(column, values[i] ?? '')).join(', ')})`);
  const which = tuples.length === 0 ? 'FALSE' : `(${columns.map((column) => comparedKey(column)).join(', ')}) IN (${tuples.join(', ')})`;
  await beginSnapshot(source.connection, tableName(stream));
  return rowsOf(source, stream, [selectRows(stream, which)]);
}

const BY_LABEL = new Set(['enum', 'set']);

function comparedKey(column: Column): string {
  return BY_LABEL.has(baseType(column)) ? quoteName(column.name) : compareExpression(column);
}

/** A key's value as the target prints it in JSON, as SQL here. */
function keyLiteral(column: Column, value: string): string {
  const encoding = encodingOf(column);
  if (BY_LABEL.has(baseType(column))) return quoteText(value);
  if (encoding === 'bytes') return literal(column, value.replace(/^\\x/, ''));
  if (encoding === 'boolean') return value === 'true' ? '1' : '0';
  if (encoding === 'bit') return /^[01]+$/.test(value) ? `b'${value}'` : 'NULL';
  if (encoding === 'timestamp' || encoding === 'timestamptz') return literal(column, value.replace('T', ' ').replace(/\+00:00$/, ''));
  return literal(column, value);
}
