/** Rows of a target hashed inside the destination, in the forms of `schemas/comparison.ts`. */
import { type Bucket, type Digest, type DigestAlgorithm, type DigestPlan, type Form } from '../../schemas/comparison.ts';
import { quoteIdent, quoteTable, type TableName } from './identifiers.ts';
import { isoUtc } from './runs.ts';
import type { Session } from './session.ts';

/** Set in rows of a target that were deleted at the source and are kept. */
export const DELETED_COLUMN = '_tidemark_deleted_at';

/** A function takes this many arguments at most; longer lists are nested. */
const ARGUMENTS_MAX = 90;

/** A column of the table and the form it is compared in. */
export interface DigestColumn {
  readonly name: string;
  readonly form: Form;
}

export interface DigestTable {
  readonly table: TableName;
  readonly key: readonly string[];
  readonly columns: readonly DigestColumn[];
  readonly algorithm: DigestAlgorithm;
  /** Rows that are compared; null: all. */
  readonly where: string | null;
}

/** The text of each form; every value of a type that a connector offers the form for. */
const EXPRESSIONS: Readonly<Record<Form, (column: string) => string>> = {
  native: (c) => c,
  text: (c) => `${c}::text`,
  number: (c) => `trim_scale(${c}::numeric)::text`,
  boolean: (c) => `${c}::boolean::int::text`,
  date: (c) => `to_char(${c}, 'YYYY-MM-DD')`,
  // The session's zone is UTC, so both kinds of timestamp print alike.
  datetime: (c) => `to_char(${c}, 'YYYY-MM-DD HH24:MI:SS.US')`,
  bytes: (c) => `md5(${c})`,
};

/** Settings that change how values are printed within a record; those of every session of ours are set already. */
const PINNED = "set local bytea_output = 'hex'; set local extra_float_digits = 3; set local xmloption = 'content'; set local lc_monetary = 'C'; set local DateStyle = 'ISO, MDY'";

/** The same within the caller's transaction. */
export async function pinValues(session: Session): Promise<void> {
  await session.query(PINNED);
}

/** A transaction in which values print as they do at a source; `repeatable read`: several looks see the same rows. */
export async function beginComparison(session: Session, isolation: 'repeatable read' | 'read committed' = 'repeatable read'): Promise<void> {
  await session.query(`begin isolation level ${isolation}`);
  await session.query(PINNED);
}

/** First hash of the text `é` here; see {@link DigestPlan.probe}. */
export async function readProbe(session: Session): Promise<string> {
  const { rows } = await session.query<{ probe: string }>("select hashtextextended('é', 0)::text as probe");
  return rows[0]!.probe;
}

/** Names a source's columns as the target has them. */
export function columnsOf(plan: DigestPlan, targetNames: ReadonlyMap<string, string>): DigestColumn[] {
  return plan.columns.map(({ column, form }) => ({ name: targetNames.get(column) ?? column, form }));
}

/**
 * A table expression of the key columns as k0, k1, ... and the hashes h0 and h1 of each row. OFFSET 0 keeps the planner from
 * computing a row's text once for each use of it.
 */
export function hashedRows(digest: DigestTable): string {
  const names = digest.key.map((_, i) => `k${i}`);
  const [row, h0, h1] = digest.algorithm === 'pg64'
    ? [recordText(digest.columns), 'hashtextextended(r, 0)', 'hashtextextended(r, 1)']
    : [`md5(${joinedText(digest.columns)})`, "('x' || substr(r, 1, 16))::bit(64)::bigint", "('x' || substr(r, 17))::bit(64)::bigint"];
  const inner = [...digest.key.map((name, i) => `t.${quoteIdent(name)} as k${i}`), `${row} as r`].join(', ');
  const outer = [...names, `${h0} as h0`, `${h1} as h1`].join(', ');
  const where = digest.where === null ? '' : ` where ${digest.where}`;
  return `(select ${outer} from (select ${inner} from ${quoteTable(digest.table)} t${where} offset 0) a offset 0)`;
}

/** A condition on {@link hashedRows}: true for rows in one of the chosen buckets. */
export function inBuckets(buckets: number, chosen: readonly number[]): string {
  return chosen.length >= buckets ? 'true' : `h0 & ${buckets - 1} = any ('{${chosen.join(',')}}'::bigint[])`;
}

/** One pass over the table. */
export async function digestTable(session: Session, digest: DigestTable, buckets: number): Promise<Digest> {
  const { rows } = await session.query<{ bucket: string; rows: string; s0: string; s1: string }>(
    `select h0 & ${buckets - 1} as bucket, count(*) as rows, sum(h0) as s0, sum(h1) as s1 from ${hashedRows(digest)} b group by 1`,
  );
  const { rows: clock } = await session.query<{ at: string }>(`select ${isoUtc('now()')} as at`);
  return { asOf: clock[0]!.at, buckets: rows.map((row): Bucket => ({ bucket: Number(row.bucket), rows: Number(row.rows), sums: [row.s0, row.s1] })) };
}

function recordText(columns: readonly DigestColumn[]): string {
  return `row(${columns.map(({ name, form }) => EXPRESSIONS[form](`t.${quoteIdent(name)}`)).join(', ')})::text`;
}

function joinedText(columns: readonly DigestColumn[]): string {
  const parts = columns.flatMap(({ name, form }) => {
    const text = EXPRESSIONS[form](`t.${quoteIdent(name)}`);
    return form === 'text' ? [`coalesce(octet_length(${text}), -1)`, `coalesce(${text}, '')`] : [`coalesce(${text}, '')`];
  });
  return nested(parts);
}

/** No part is NULL, which `concat_ws` would leave out, so a list may be cut anywhere. */
function nested(parts: readonly string[]): string {
  if (parts.length <= ARGUMENTS_MAX) return `concat_ws(',', ${parts.join(', ')})`;
  return `concat_ws(',', ${parts.slice(0, ARGUMENTS_MAX - 1).join(', ')}, ${nested(parts.slice(ARGUMENTS_MAX - 1))})`;
}
