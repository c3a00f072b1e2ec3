/**
 * Deletes in a target: rows that the source says are gone (tombstones in a stage, or keys that a scan found missing). `hard` removes them, `soft` sets
 * {@link DELETED_COLUMN} and keeps them. A batch that was read before a delete never brings the row back: soft-deleted rows carry the batch of the
 * delete, and of hard-deleted ones a hash of the key is kept while such a batch may still come.
 */
import { createHash } from 'node:crypto';
import { DELETED_COLUMN } from './digest.ts';
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import { REJECT_COLUMN, SUPERSEDED_COLUMN, type Stage } from './stage.ts';
import { BATCH_COLUMN } from './target.ts';
import { oldValues, touchedDelete, touchedSql, type TouchLog } from './touch.ts';

/** What a stream does about deletes, as a load needs it. */
export interface StageDeletes {
  /** The stage's column that says so, and the value that means deleted, as text; null where no column does. */
  readonly tombstone: { readonly column: string; readonly is: string } | null;
  readonly apply: 'soft' | 'hard';
  /** The target has {@link DELETED_COLUMN}: a row that comes back loses its mark. */
  readonly marks: boolean;
}

/** Rows of a target that are to be deleted. */
export interface Gone {
  readonly rows: number;
  /** Of the sorted set of their keys: hexadecimal, no key can be told from it. */
  readonly hash: string;
}

export const NOTHING_GONE: Gone = { rows: 0, hash: '' };

/** SQL that is true where `value`, an expression of `type`, means deleted. Numbers compare as numbers, char(n) without its padding, all else as exact text. */
export function meansDeleted(type: string, is: string, value: string): string {
  const literal = quoteLiteral(tombstoneText(type, is));
  if (type === 'boolean') return `${value} = ${literal}::boolean`;
  if (/^(smallint|integer|bigint|numeric)(\(|$)/.test(type)) return `${value} = ${literal}::numeric`;
  if (/^(real|double precision)$/.test(type)) return `${value} = ${literal}::${type}`;
  if (/^character(\(|$)/.test(type)) return `${value} = ${literal}::bpchar`;
  return `${value}::text = ${literal}::text`;
}

/** `true` and `false` of the file stand for 1 and 0 in a column of numbers or bits. */
export function tombstoneText(type: string, is: string): string {
  if (!/^(smallint|integer|bigint|numeric|bit)(\(|$)/.test(type)) return is;
  return is === 'true' ? '1' : is === 'false' ? '0' : is;
}

/** SQL over the stage (as `s`): the row is a tombstone; never NULL. Null where the stream has none. */
export function tombstoneOf(stage: Stage, deletes: StageDeletes | undefined): string | null {
  const tombstone = deletes?.tombstone ?? null;
  if (tombstone === null) return null;
  const type = stage.columns.find((column) => column.name === tombstone.column)?.type ?? 'text';
  const column = `s.${quoteIdent(tombstone.column)}`;
  if (!stage.lenient) return `coalesce(${meansDeleted(type, tombstone.is, column)}, false)`;
  // A rejected row's text may be no value of the type, and nothing orders the conditions of a query but CASE.
  return `case when s.${REJECT_COLUMN} is null then coalesce(${meansDeleted(type, tombstone.is, `cast(${column} as ${type})`)}, false) else false end`;
}

const HASHES = ['hashtextextended(r, 0)', 'hashtextextended(r, 1)'] as const;

/** Counts and fingerprints rows given as a query with one text column `r`, the key. The sum of hashes does not depend on their order. */
async function countGone(session: Session, keys: string): Promise<Gone> {
  const { rows } = await session.query<{ n: string; h0: string; h1: string }>(
    `select count(*) as n, coalesce(sum(${HASHES[0]}), 0)::text as h0, coalesce(sum(${HASHES[1]}), 0)::text as h1 from (${keys} offset 0) g`,
  );
  const { n, h0, h1 } = rows[0]!;
  return { rows: Number(n), hash: createHash('sha256').update(`${n}/${h0}/${h1}`).digest('hex').slice(0, 32) };
}

/** What the deletes of a batch need to know of its merge. */
export interface DeletingMerge {
  readonly stage: Stage;
  readonly into: TableName;
  readonly key: readonly string[];
  readonly batch: number;
  readonly rowBatch?: string;
  readonly marked: boolean;
  readonly mayBeOlder: boolean;
  readonly deletes?: StageDeletes;
  readonly touchLog?: TouchLog | null;
}

/** Stage and target joined where a good tombstone meets a live row that no later batch has written. */
function tombstonesMet(merge: DeletingMerge): { readonly same: string; readonly where: string } {
  const typeOf = (name: string): string => merge.stage.columns.find((column) => column.name === name)!.type;
  const staged = (name: string): string => (merge.stage.lenient ? `cast(s.${quoteIdent(name)} as ${typeOf(name)})` : `s.${quoteIdent(name)}`);
  const conditions = [
    tombstoneOf(merge.stage, merge.deletes) ?? 'false',
    ...(merge.marked ? [`s.${REJECT_COLUMN} is null`, `s.${SUPERSEDED_COLUMN} is not true`] : []),
    ...(merge.deletes?.marks === true ? [`t.${DELETED_COLUMN} is null`] : []),
    ...(merge.mayBeOlder ? [`coalesce(t.${BATCH_COLUMN}, 0) < ${merge.rowBatch ?? `${merge.batch}::bigint`}`] : []),
  ];
  return { same: merge.key.map((name) => `t.${quoteIdent(name)} = ${staged(name)}`).join(' and '), where: conditions.join(' and ') };
}

const keyText = (key: readonly string[], alias: string): string => `row(${key.map((name) => `${alias}.${quoteIdent(name)}`).join(', ')})::text`;

/** The target's rows that the stage's tombstones would delete. Asked before the merge, which for `soft` sets their marks. */
export async function findTombstoned(session: Session, merge: DeletingMerge): Promise<Gone> {
  if (merge.key.length === 0 || (merge.deletes?.tombstone ?? null) === null) return NOTHING_GONE;
  const { same, where } = tombstonesMet(merge);
  return countGone(session, `select ${keyText(merge.key, 't')} as r from ${quoteTable(merge.stage.table)} s join ${quoteTable(merge.into)} t on ${same} where ${where}`);
}

/** Removes the rows that {@link findTombstoned} found, and returns their number. */
export async function deleteTombstoned(session: Session, merge: DeletingMerge): Promise<number> {
  const { same, where } = tombstonesMet(merge);
  const { rowCount } = await session.query(
    touchedDelete(merge.touchLog ?? null, merge.batch, `delete from ${quoteTable(merge.into)} t using ${quoteTable(merge.stage.table)} s where ${same} and ${where}`),
  );
  return rowCount ?? 0;
}

export interface StreamName {
  readonly source: string;
  readonly stream: string;
}

/** A batch with a lower id may still load, or a rejected row of one be replayed. $1 source, $2 stream, $3 the delete's batch. */
const OLDER_MAY_COME = `(exists (select from tidemark.batch b where b.source = $1 and b.stream = $2 and b.batch < $3 and b.state <> 'loaded' and b.opened_at > clock_timestamp() - interval '1 day')
  or exists (select from tidemark.quarantine q where q.source = $1 and q.stream = $2 and q.batch < $3 and q.replayed_at is null))`;

/** Keeps the keys of a stage's hard tombstones, those of absent rows too, while an older row of them may still come. */
export async function keepTombstoned(session: Session, owner: StreamName, merge: DeletingMerge): Promise<void> {
  const types = await keyTypes(session, merge.into, merge.key);
  const good = merge.marked ? `s.${REJECT_COLUMN} is null and s.${SUPERSEDED_COLUMN} is not true and ` : '';
  await keepKeys(session, owner, merge.batch, `select ${stagedKeyText(merge, types)} as r from ${quoteTable(merge.stage.table)} s where ${good}${tombstoneOf(merge.stage, merge.deletes) ?? 'false'}`);
}

async function keepKeys(session: Session, owner: StreamName, batch: number, keys: string): Promise<void> {
  await session.query(
    `insert into tidemark.deleted_key as k (source, stream, h0, h1, batch) select distinct $1::text, $2::text, ${HASHES[0]}, ${HASHES[1]}, $3::bigint from (${keys} offset 0) g where ${OLDER_MAY_COME}
     on conflict (source, stream, h0, h1) do update set batch = greatest(k.batch, excluded.batch)`,
    [owner.source, owner.stream, batch],
  );
}

/**
 * Marks staged rows as superseded whose key a later batch has hard-deleted, and forgets keys that no older batch can bring back any more.
 * Returns whether there was any such key, so that the stage's marks count.
 */
export async function supersedeDeleted(session: Session, owner: StreamName, merge: DeletingMerge): Promise<boolean> {
  const id = [owner.source, owner.stream];
  const { rows } = await session.query<{ known: boolean }>('select exists (select from tidemark.deleted_key where source = $1 and stream = $2) as known', id);
  if (!rows[0]!.known || merge.key.length === 0) return false;
  const types = await keyTypes(session, merge.into, merge.key);
  await session.query(
    `update ${quoteTable(merge.stage.table)} m set ${SUPERSEDED_COLUMN} = true
     from (select place, ${HASHES[0]} as h0, ${HASHES[1]} as h1, batch from (select s.ctid as place, ${stagedKeyText(merge, types)} as r, ${merge.rowBatch ?? `${merge.batch}::bigint`} as batch
         from ${quoteTable(merge.stage.table)} s where s.${REJECT_COLUMN} is null offset 0) x) g
       join tidemark.deleted_key k on k.source = $1 and k.stream = $2 and k.h0 = g.h0 and k.h1 = g.h1 and k.batch > g.batch
     where m.ctid = g.place`,
    id,
  );
  await session.query(`delete from tidemark.deleted_key k where k.source = $1 and k.stream = $2 and k.batch < $3 and not ${OLDER_MAY_COME.replaceAll('$3', 'k.batch')}`, [...id, merge.batch]);
  return true;
}

/** A key's text is that of the target's types, whatever the stage has. */
function stagedKeyText(merge: DeletingMerge, types: ReadonlyMap<string, string>): string {
  const staged = (name: string): string => {
    const own = merge.stage.columns.find((column) => column.name === name)?.type ?? 'text';
    const value = merge.stage.lenient ? `case when s.${REJECT_COLUMN} is null then cast(s.${quoteIdent(name)} as ${own}) end` : `s.${quoteIdent(name)}`;
    return `cast(${value} as ${types.get(name) ?? own})`;
  };
  return `row(${merge.key.map(staged).join(', ')})::text`;
}

export async function keyTypes(session: Session, table: TableName, key: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const { rows } = await session.query<{ name: string; type: string }>(
    'select attname::text as name, format_type(atttypid, atttypmod) as type from pg_attribute where attrelid = $1::regclass and attname = any ($2) and not attisdropped',
    [quoteTable(table), [...key]],
  );
  return new Map(rows.map((row) => [row.name, row.type]));
}

/** Rows of a target that are not marked as deleted; counting stops at `enough`. */
export async function countLive(session: Session, table: TableName, marks: boolean, enough: number | null): Promise<number> {
  const live = `select from ${quoteTable(table)} t ${marks ? `where t.${DELETED_COLUMN} is null` : ''} ${enough === null ? '' : `limit ${Math.max(0, Math.ceil(enough))}`}`;
  const { rows } = await session.query<{ n: string }>(`select count(*) as n from (${live}) l`);
  return Number(rows[0]!.n);
}

/** Rows that the run's batches have deleted so far; without those that a person has let through. */
export async function deletedInRun(session: Session, owner: StreamName, runId: string): Promise<number> {
  const { rows } = await session.query<{ n: string }>(
    `select coalesce(sum(l.deleted), 0) as n from tidemark.ledger l where l.run_id = $3 and l.source = $1 and l.stream = $2 and l.kind in ('range', 'slice')
       and not exists (select from tidemark.approval a where a.source = $1 and a.stream = $2 and a.action = 'delete' and a.state = 'done' and a.facts->>'batch' = l.batch::text)`,
    [owner.source, owner.stream, runId],
  );
  return Number(rows[0]!.n);
}

/** Keys that a scan found in the target and not at the source, as `k0`, `k1`, ...; lives as long as the transaction. */
export const GONE_KEYS: TableName = { schema: 'pg_temp', name: 'tidemark_gone' };

export interface Scanned {
  readonly target: TableName;
  readonly key: readonly string[];
  /** Id of the scan's batch: rows of later batches were read after its snapshot and stay. */
  readonly batch: number;
  readonly marks: boolean;
  readonly touchLog: TouchLog | null;
}

/**
 * Fills {@link GONE_KEYS} with the keys of live rows that were loaded from before the scan's snapshot and that `present`, a table of all
 * keys of the source as `k0`, `k1`, ..., lacks. `rows`: the target's rows to look at, as a table expression with `k0`, `k1`, ... and the batch as `b`.
 */
export async function findMissing(session: Session, scanned: Scanned, rows: string, present: string): Promise<Gone> {
  const names = scanned.key.map((_, i) => `k${i}`);
  await session.query(
    `create temporary table ${quoteIdent(GONE_KEYS.name)} on commit drop as select ${names.map((name) => `r.${name}`).join(', ')} from ${rows} r
     where coalesce(r.b, 0) < ${scanned.batch}::bigint and not exists (select from ${present} p where ${names.map((name) => `p.${name} = r.${name}`).join(' and ')})`,
  );
  return fingerprintGone(session, scanned.key.length);
}

/** Takes those keys off the list that a second look at the source has found. */
export async function keepMissing(session: Session, keys: number, present: string): Promise<Gone> {
  const same = Array.from({ length: keys }, (_, i) => `p.k${i} = g.k${i}`).join(' and ');
  await session.query(`delete from ${quoteTable(GONE_KEYS)} g where exists (select from ${present} p where ${same})`);
  return fingerprintGone(session, keys);
}

async function fingerprintGone(session: Session, keys: number): Promise<Gone> {
  return countGone(session, `select row(${Array.from({ length: keys }, (_, i) => `g.k${i}`).join(', ')})::text as r from ${quoteTable(GONE_KEYS)} g`);
}

/** Deletes what {@link findMissing} found. The caller holds the stream's watermark, so that nothing has come between. Returns the number of rows. */
export async function deleteMissing(session: Session, owner: StreamName, scanned: Scanned, apply: 'soft' | 'hard'): Promise<number> {
  const same = scanned.key.map((name, i) => `t.${quoteIdent(name)} = g.k${i}`).join(' and ');
  const target = quoteTable(scanned.target);
  const where = `where ${same} and coalesce(t.${BATCH_COLUMN}, 0) < ${scanned.batch}::bigint${scanned.marks ? ` and t.${DELETED_COLUMN} is null` : ''}`;
  if (apply === 'hard') {
    await keepKeys(session, owner, scanned.batch, `select row(${scanned.key.map((_, i) => `g.k${i}`).join(', ')})::text as r from ${quoteTable(GONE_KEYS)} g`);
    const { rowCount } = await session.query(touchedDelete(scanned.touchLog, scanned.batch, `delete from ${target} t using ${quoteTable(GONE_KEYS)} g ${where}`));
    return rowCount ?? 0;
  }
  const log = scanned.touchLog;
  const touched = log === null || log.columns.length === 0 ? '' : `with ${touchedSql(log, scanned.batch, `select ${oldValues(log.columns, 't')} as old from ${target} t, ${quoteTable(GONE_KEYS)} g ${where}`)} `;
  const { rowCount } = await session.query(`${touched}update ${target} t set ${DELETED_COLUMN} = now(), ${BATCH_COLUMN} = ${scanned.batch}::bigint from ${quoteTable(GONE_KEYS)} g ${where}`);
  return rowCount ?? 0;
}
