/** The keys that differ between a source and its target: `tidemark.difference`. Keys stand here and nowhere else. */
import type { ReconcileResult } from '../../schemas/comparison.ts';
import { DELETED_COLUMN, hashedRows, inBuckets, type DigestTable } from './digest.ts';
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import { REJECT_COLUMN, VALUES_COLUMN } from './stage.ts';
import { BATCH_COLUMN, type TypedColumn } from './target.ts';
import { touchedDelete, type TouchLog } from './touch.ts';

/** Keys and hashes of the source's rows; lives as long as the transaction that copies them in. */
export const SOURCE_KEYS: TableName = { schema: 'pg_temp', name: 'tidemark_source_keys' };
/** Rows of the source, to be hashed here. */
export const SOURCE_ROWS: TableName = { schema: 'pg_temp', name: 'tidemark_source_rows' };

/** Whose differences: of one stream, as one run found them. */
export interface DifferenceOwner {
  readonly source: string;
  readonly stream: string;
  readonly runId: string;
}

export interface DifferenceCounts {
  readonly missing: number;
  readonly extra: number;
  readonly different: number;
}

/** One key with its place in the list. */
export interface FoundKey {
  readonly id: string;
  /** Text of each key column, in the key's order. */
  readonly values: readonly string[];
}

const HASH = "h0 || '/' || h1";

/** An empty table for keys and hashes; returns the names of its columns. */
export async function createKeysTable(session: Session, keyTypes: readonly string[]): Promise<string[]> {
  const columns = [...keyTypes.map((type, i) => ({ name: `k${i}`, type })), { name: 'h0', type: 'bigint' }, { name: 'h1', type: 'bigint' }];
  const marks = [REJECT_COLUMN, VALUES_COLUMN].map((name) => `${quoteIdent(name)} text`);
  await session.query(`create temporary table ${quoteIdent(SOURCE_KEYS.name)} (${[...columns.map(({ name, type }) => `${name} ${type}`), ...marks].join(', ')}) on commit drop`);
  return columns.map(({ name }) => name);
}

/** An empty table for rows of the stream and what a connector says of rows that do not fit. */
export async function createRowsTable(session: Session, columns: readonly TypedColumn[]): Promise<void> {
  const all = [...columns.map(({ name, type }) => `${quoteIdent(name)} ${type}`), ...[REJECT_COLUMN, VALUES_COLUMN].map((name) => `${quoteIdent(name)} text`)];
  await session.query(`create temporary table ${quoteIdent(SOURCE_ROWS.name)} (${all.join(', ')}) on commit drop`);
}

/** All keys and hashes of one side that may differ, as a table expression. */
export interface Side {
  readonly rows: string;
  readonly where: string;
}

/** Without those that the connector marks as no fit for their columns. */
export const copiedKeys: Side = { rows: quoteTable(SOURCE_KEYS), where: 'h0 is not null' };

export function sideOf(digest: DigestTable, buckets: number, chosen: readonly number[]): Side {
  return { rows: hashedRows(digest), where: inBuckets(buckets, chosen) };
}

function bothSides(keys: number, source: Side, target: Side): string {
  const names = Array.from({ length: keys }, (_, i) => `k${i}, `).join('');
  return `(select true as of_source, ${names}${HASH} as h from ${source.rows} s where ${source.where}
    union all select false, ${names}${HASH} from ${target.rows} t where ${target.where}) u`;
}

/** Writes down each key that one side lacks or has otherwise. Several rows of one key at the source are equal where one of them is. */
export async function recordDifferences(session: Session, owner: DifferenceOwner, key: readonly string[], source: Side, target: Side): Promise<DifferenceCounts> {
  const names = key.map((_, i) => `k${i}`);
  await session.query(
    `insert into tidemark.difference (source, stream, run_id, kind, key, source_hash, target_hash)
     select $1, $2, $3, case when sh is null then 'extra' when th is null then 'missing' else 'different' end, key, sh, th
     from (select jsonb_build_object(${key.map((name, i) => `${quoteLiteral(name)}, k${i}`).join(', ')}) as key, min(h) filter (where of_source) as sh, min(h) filter (where not of_source) as th
       from ${bothSides(key.length, source, target)} group by ${names.join(', ')}
       having not coalesce(array_agg(h) filter (where of_source) && array_agg(h) filter (where not of_source), false)) d`,
    [owner.source, owner.stream, owner.runId],
  );
  return countDifferences(session, owner);
}

/** For rows without a key: how many more of each row one side has. */
export async function countUnkeyed(session: Session, source: Side, target: Side): Promise<DifferenceCounts> {
  const { rows } = await session.query<{ missing: string; extra: string }>(
    `select coalesce(sum(n) filter (where n > 0), 0) as missing, coalesce(-sum(n) filter (where n < 0), 0) as extra
     from (select sum(case when of_source then 1 else -1 end) as n from ${bothSides(0, source, target)} group by h) d`,
  );
  return { missing: Number(rows[0]!.missing), extra: Number(rows[0]!.extra), different: 0 };
}

export async function countDifferences(session: Session, owner: DifferenceOwner): Promise<DifferenceCounts> {
  const { rows } = await session.query<{ kind: keyof DifferenceCounts; n: string }>('select kind, count(*) as n from tidemark.difference where source = $1 and stream = $2 and run_id = $3 group by kind', idOf(owner));
  const of = (kind: keyof DifferenceCounts): number => Number(rows.find((row) => row.kind === kind)?.n ?? 0);
  return { missing: of('missing'), extra: of('extra'), different: of('different') };
}

/** Forgets what earlier looks found: the list speaks of the latest. A run that is still under way keeps its own, since it may be repairing them. */
export async function clearDifferences(session: Session, owner: DifferenceOwner): Promise<void> {
  await session.query(
    `delete from tidemark.difference d where source = $1 and stream = $2
       and (run_id = $3 or not exists (select from tidemark.run r where r.run_id = d.run_id and r.ended_at is null))`,
    idOf(owner),
  );
}

/** Nothing was on its way at the first look: all that it found is certain. */
export async function settleAll(session: Session, owner: DifferenceOwner): Promise<void> {
  await session.query('update tidemark.difference set settled_at = clock_timestamp() where source = $1 and stream = $2 and run_id = $3 and settled_at is null', idOf(owner));
}

/** The next keys in the order of their ids, or none. */
export async function nextKeys(session: Session, owner: DifferenceOwner, key: readonly string[], settled: boolean, after: string, limit: number): Promise<FoundKey[]> {
  const { rows } = await session.query<FoundKey>(
    `select id::text, array[${key.map((name) => `key->>${quoteLiteral(name)}`).join(', ')}] as values from tidemark.difference
     where source = $1 and stream = $2 and run_id = $3 and id > $4 and (settled_at is not null) = $5 order by id limit $6`,
    [...idOf(owner), after, settled, limit],
  );
  return rows;
}

export async function countOpen(session: Session, owner: DifferenceOwner): Promise<number> {
  const { rows } = await session.query<{ n: string }>('select count(*) as n from tidemark.difference where source = $1 and stream = $2 and run_id = $3 and settled_at is null', idOf(owner));
  return Number(rows[0]!.n);
}

/** Names the keys that are looked at, typed, as k0, k1, ... beside their ids; lives as long as the transaction. */
export async function createCandidates(session: Session, ids: readonly string[], key: readonly TypedColumn[]): Promise<void> {
  const values = key.map(({ name, type }, i) => `(key->>${quoteLiteral(name)})::${type} as k${i}`);
  await session.query(`create temporary table tidemark_candidates on commit drop as select id, source_hash, ${values.join(', ')} from tidemark.difference where id = any ($1)`, [ids]);
  await session.query('analyze tidemark_candidates');
}

/** A condition on a table under the alias t: its key is among the candidates. */
export function isCandidate(key: readonly string[]): string {
  return `(${key.map((name) => `t.${quoteIdent(name)}`).join(', ')}) in (select ${key.map((_, i) => `k${i}`).join(', ')} from pg_temp.tidemark_candidates)`;
}

/**
 * Looks again at the candidates, given the rows that the source and the target have of them now. Gone from the list: keys that are equal now,
 * and keys whose target has meanwhile become what the source was. Settled: keys whose source has not moved, so that it must have come through.
 * The others stay open with what the source has now.
 */
export async function settleCandidates(session: Session, keys: number, source: Side, target: Side): Promise<void> {
  const names = Array.from({ length: keys }, (_, i) => `k${i}`);
  const hashes = (side: Side): string => `(select ${names.join(', ')}, array_agg(${HASH}) as h from ${side.rows} x where ${side.where} group by ${names.join(', ')})`;
  const on = (side: string): string => names.map((name) => `${side}.${name} = c.${name}`).join(' and ');
  await session.query(
    `create temporary table tidemark_looked on commit drop as select c.id, s.h[1] as sh, t.h[1] as th,
       coalesce(s.h && t.h, s.h is null and t.h is null) as equal,
       coalesce(c.source_hash = any (s.h), c.source_hash is null and s.h is null) as still,
       coalesce(c.source_hash = any (t.h), false) as carried
     from tidemark_candidates c left join ${hashes(source)} s on ${on('s')} left join ${hashes(target)} t on ${on('t')}`,
  );
  await session.query('delete from tidemark.difference d using tidemark_looked l where d.id = l.id and (equal or (carried and not still))');
  await session.query(
    `update tidemark.difference d set kind = case when sh is null then 'extra' when th is null then 'missing' else 'different' end, source_hash = sh, target_hash = th,
       settled_at = case when still then clock_timestamp() end
     from tidemark_looked l where d.id = l.id`,
  );
}

/** Makes settled keys open again, before they are looked at once more. */
export async function reopenKeys(session: Session, ids: readonly string[]): Promise<void> {
  await session.query('update tidemark.difference set settled_at = null where id = any ($1)', [ids]);
}

/** How many of the keys still differ. */
export async function stillListed(session: Session, ids: readonly string[]): Promise<number> {
  const { rows } = await session.query<{ n: number }>('select count(*)::int as n from tidemark.difference where id = any ($1)', [ids]);
  return rows[0]!.n;
}

/**
 * Deletes the candidates' rows that the source does not have, or marks them where deletes are `soft`: none was staged by a read of just these keys in
 * one snapshot. A row that a later batch wrote stays. Returns how many.
 */
export async function deleteAbsent(session: Session, target: TableName, stage: TableName, key: readonly string[], live: string | null, batch: number, touchLog: TouchLog | null, soft = false): Promise<number> {
  const same = key.map((name) => `s.${quoteIdent(name)} = t.${quoteIdent(name)}`).join(' and ');
  const where = `where ${isCandidate(key)} and coalesce(t.${quoteIdent(BATCH_COLUMN)}, 0) < $1 and ${live ?? 'true'} and not exists (select from ${quoteTable(stage)} s where ${same})`;
  const deletion = soft ? `update ${quoteTable(target)} t set ${DELETED_COLUMN} = now(), ${quoteIdent(BATCH_COLUMN)} = $1 ${where}` : `delete from ${quoteTable(target)} t ${where}`;
  const { rowCount } = await session.query(touchedDelete(touchLog, batch, deletion), [batch]);
  return rowCount ?? 0;
}

/** Keeps the result of one stream; a second time for the same run takes the place of the first. */
export async function saveResult(session: Session, runId: string, result: ReconcileResult, startedAt: string | null): Promise<void> {
  await session.query(
    `insert into tidemark.reconciliation (run_id, source, stream, result, started_at) values ($1, $2, $3, $4, coalesce($5, clock_timestamp()))
     on conflict (run_id, source, stream) do update set result = excluded.result, ended_at = clock_timestamp()`,
    [runId, result.source, result.stream, JSON.stringify(result), startedAt],
  );
}

export async function listResults(session: Session, runId: string): Promise<ReconcileResult[]> {
  const { rows } = await session.query<{ result: ReconcileResult }>(
    `select result from tidemark.reconciliation r left join tidemark.stream s on s.source = r.source and s.stream = r.stream where run_id = $1 order by s.ordinal, r.stream`,
    [runId],
  );
  return rows.map((row) => row.result);
}

const idOf = (owner: DifferenceOwner): string[] => [owner.source, owner.stream, owner.runId];
