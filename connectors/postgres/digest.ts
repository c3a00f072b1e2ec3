/**
 * Rows hashed inside the server. Each row's columns become one text, the text two hashes; sums of them by bucket are all that leaves.
 *
 * | source and target type | form | text |
 * |---|---|---|
 * | equal | `native` | as the server prints it |
 * | integers and numeric, unlike | `number` | `trim_scale`, so that a wider scale at the target does not differ |
 * | any, the target keeps it as text; text of another length; times of another precision | `text` | `::text` |
 * | all other pairs | none | compared through the extract |
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Bucket, Digest, DigestPlan, Form } from '../../schemas/comparison.ts';
import type { RowFormat, StreamRead } from '../connector.ts';
import { type CopyOut, copyOut } from './copy.ts';
import type { PostgresClient } from './client.ts';
import { beginSnapshot, usableFormat } from './incremental.ts';
import { qualified, quoteName, quoteText } from './names.ts';
import { literal, loadRelation } from './relation.ts';

/** `trim_scale` came with this version. */
const TRIM_SCALE_VERSION = 130_000;
/** The other end may need longer for its own pass. */
const IDLE_MAX = '6h';

const NUMBERS = /^(smallint|integer|bigint|numeric)(\(|$)/;
const CHARACTERS = /^(text|character varying)(\(|$)/;

export async function planDigest(client: PostgresClient, stream: StreamRead, targetTypes: readonly string[]): Promise<DigestPlan | null> {
  const columns = stream.columns.map((name, i) => ({ column: name, form: formOf(typeOf(stream, name), targetTypes[i] ?? '') }));
  const forms = columns.map(({ form }) => form);
  if (forms.includes(null) || (forms.includes('number') && client.server.version < TRIM_SCALE_VERSION)) return null;
  const { probe } = await client.row('the server', "SELECT hashtextextended('é', 0)::text AS probe");
  return { algorithm: 'pg64', columns: columns.map(({ column, form }) => ({ column, form: form ?? 'native' })), probe: probe ?? '' };
}

function typeOf(stream: StreamRead, name: string): { native: string; kept: string } {
  const column = stream.table.columns.find((each) => each.name === name);
  return { native: column?.nativeType ?? '', kept: column?.pgType ?? '' };
}

function formOf({ native, kept }: { native: string; kept: string }, target: string): Form | null {
  if (native === kept && kept === target) return 'native';
  if (NUMBERS.test(native) && NUMBERS.test(target)) return 'number';
  if (CHARACTERS.test(native) && CHARACTERS.test(target)) return 'text';
  if (kept === 'text' && target === 'text') return 'text';
  return withoutPrecision(native) === withoutPrecision(target) && /^time/.test(native) ? 'text' : null;
}

const withoutPrecision = (type: string): string => type.replace(/\(\d+\)/, '');

const EXPRESSIONS: Readonly<Partial<Record<Form, (column: string) => string>>> = {
  native: (column) => column,
  number: (column) => `trim_scale(${column}::numeric)::text`,
  text: (column) => `${column}::text`,
};

/**
 * Rows with their hashes h0 and h1, and the key. OFFSET 0 keeps the planner from computing the row's text once for each use of it, and the
 * hashes likewise.
 */
function hashedRows(stream: StreamRead, plan: DigestPlan): string {
  const { schema, name } = stream.table;
  const key = stream.key.map((column, i) => `t.${quoteName(column)} AS k${i}`);
  const names = stream.key.map((_, i) => `k${i}`);
  const columns = plan.columns.map(({ column, form }) => {
    const expression = EXPRESSIONS[form];
    if (!expression) throw new TidemarkError('source.query_failed', `PostgreSQL does not print the form ${form}.`);
    return expression(`t.${quoteName(column)}`);
  });
  const texts = [...key, `ROW(${columns.join(', ')})::text AS r`].join(', ');
  const hashes = [...names, 'hashtextextended(r, 0) AS h0', 'hashtextextended(r, 1) AS h1'].join(', ');
  return `(SELECT ${hashes} FROM (SELECT ${texts} FROM ${qualified(schema, name)} t OFFSET 0) a OFFSET 0) b`;
}

export async function beginDigest(client: PostgresClient, stream: StreamRead, plan: DigestPlan, buckets: number): Promise<Digest> {
  const relation = await loadRelation(client, stream);
  try {
    const { asOf } = await beginSnapshot(client, relation.where);
    await client.rows(relation.where, `SET LOCAL idle_in_transaction_session_timeout = '${IDLE_MAX}'`);
    const rows = await client.rows(relation.where, `SELECT h0 & ${buckets - 1} AS bucket, count(*) AS rows, sum(h0) AS s0, sum(h1) AS s1 FROM ${hashedRows(stream, plan)} GROUP BY 1`);
    return { asOf, buckets: rows.map((row): Bucket => ({ bucket: Number(row.bucket), rows: Number(row.rows), sums: [row.s0 ?? '0', row.s1 ?? '0'] })) };
  } catch (error) {
    await client.rollback();
    throw error;
  }
}

/** In the transaction that {@link beginDigest} opened. */
export function openDigestedKeys(client: PostgresClient, stream: StreamRead, plan: DigestPlan, buckets: number, chosen: readonly number[]): CopyOut {
  const names = [...stream.key.map((_, i) => `k${i}`), 'h0', 'h1'].join(', ');
  const where = chosen.length >= buckets ? '' : ` WHERE h0 & ${buckets - 1} = ANY ('{${chosen.join(',')}}'::int8[])`;
  return copyOut(client, `SELECT ${names} FROM ${hashedRows(stream, plan)}${where}`, 'copy-text', `table ${stream.table.schema}.${stream.table.name}`);
}

/** See {@link SourceSession.readKeys}. */
export async function openKeys(client: PostgresClient, stream: StreamRead, keys: readonly (readonly string[])[], format: RowFormat): Promise<CopyOut> {
  const relation = await loadRelation(client, stream);
  const columns = stream.key.map((name) => ({ ordered: relation.key.find((column) => column.name === name), type: typeOf(stream, name).native }));
  const valueOf = (value: string, i: number): string => {
    const { ordered, type } = columns[i] ?? {};
    return ordered ? literal(ordered, value) : `${quoteText(value)}::${type}`;
  };
  const tuples = keys.map((values) => `(${values.map(valueOf).join(', ')})`);
  const names = stream.key.map((name) => `t.${quoteName(name)}`).join(', ');
  const which = tuples.length === 0 ? 'false' : `(${names}) IN (VALUES ${tuples.join(', ')})`;
  try {
    await beginSnapshot(client, relation.where);
    return copyOut(client, `SELECT ${relation.select} FROM ${relation.from} WHERE ${which}`, usableFormat(relation, format), relation.where);
  } catch (error) {
    await client.rollback();
    throw error;
  }
}
