/** Full builds: the table cut by key into parts of about equal size, each read in a snapshot of its own. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { FullPlan, Part, PartLimits, RowFormat, StreamRead } from '../connector.ts';
import { partRows } from '../part-rows.ts';
import { type CopyOut, copyOut } from './copy.ts';
import type { PostgresClient } from './client.ts';
import { beginSnapshot, guaranteeOf, makeMark, usableFormat } from './incremental.ts';
import { toPosition } from './position.ts';
import { compare } from './range.ts';
import { loadRelation, type Relation } from './relation.ts';
import { type Bounds, readBefore, readBounds } from './snapshot.ts';

/** Rows sampled for each part: their quantiles are then within a few percent. */
const SAMPLE_ROWS_PER_PART = 400;
const SAMPLE_ROWS_MIN = 100_000;
const SAMPLE_ROWS_MAX = 1_000_000;
/** For tables that were never analyzed. */
const ROW_BYTES_GUESSED = 100;
/** A table of up to this many times a batch is one part. */
const ONE_PART_BATCHES = 1.5;
/**
 * Where nobody asked for smaller ones, so is one of up to these: read in place by one session it takes both servers less than by two with ranges of
 * the key, and no longer (docs/performance.md). Larger ones are cut, so that a copy that fails has not much to repeat.
 */
const ONE_PART_ROWS = 8_000_000;
const ONE_PART_BYTES = 2 * 1024 ** 3;

/** See {@link SourceSession.planFull}. The position's snapshot is older than that of any part. */
export async function planParts(client: PostgresClient, stream: StreamRead, limits: PartLimits): Promise<FullPlan> {
  const relation = await loadRelation(client, stream);
  const before = await readBefore(client, relation, stream);
  try {
    const snapshot = await beginSnapshot(client, relation.where);
    const nothing: Bounds = { top: null, last: [], low: null, futureRows: 0, outsideRows: '0' };
    const bounds = relation.order === null ? nothing : await readBounds(client, relation, relation.order, stream, before);
    const count = relation.order === null && relation.hasXmin ? await countRows(client, relation) : null;
    const parts = await cut(client, relation, limits, count);
    await client.rows(relation.where, 'COMMIT');
    // A row whose key changes while parts are read may be missed by all of them: the catch-up looks through the whole table, unless nothing was written meanwhile.
    const mark = { ...makeMark(null, stream, relation, before, snapshot, bounds, { since: null, low: null, fresh: [], anywhere: null }), open: true, count };
    return {
      parts,
      position: toPosition(relation, { mark, run: null }),
      guarantee: stream.cursor === null ? 'full refresh' : guaranteeOf(relation, stream, before.hidden),
      asOf: snapshot.asOf,
    };
  } catch (error) {
    await client.rollback();
    throw error;
  }
}

/** See {@link SourceSession.readPart}. */
export async function openPart(client: PostgresClient, stream: StreamRead, part: Part, format: RowFormat): Promise<CopyOut> {
  const relation = await loadRelation(client, stream);
  if (stream.table.identity !== '' && stream.table.identity !== relation.table) {
    throw new TidemarkError('source.schema_changed', `${relation.where}: it was dropped and made again while it was read.`, { hint: 'Start the full sync again.' });
  }
  const bounds = [part.from === null ? null : compare(relation.key, '>', part.from), part.to === null ? null : compare(relation.key, '<=', part.to)].filter((bound) => bound !== null);
  const condition = bounds.length === 0 ? '' : ` WHERE ${bounds.join(' AND ')}`;
  try {
    await beginSnapshot(client, relation.where);
    // Workers of the server beside a session are more than `sessions_max` says; each part's would look through the whole table, and bring rows out of the key's order.
    await client.rows(relation.where, 'SET LOCAL max_parallel_workers_per_gather = 0');
    return copyOut(client, `SELECT ${relation.select} FROM ${relation.from}${condition}`, usableFormat(relation, format), relation.where);
  } catch (error) {
    await client.rollback();
    throw error;
  }
}

async function countRows(client: PostgresClient, relation: Relation): Promise<string | null> {
  return (await client.row(relation.where, `SELECT count(*) AS rows FROM ${relation.from}`)).rows ?? null;
}

/** Part bounds are quantiles of the keys on a sample of pages: no scan and no sort of the whole table. */
async function cut(client: PostgresClient, relation: Relation, { rowsMax, isUsual = false }: PartLimits, count: string | null): Promise<readonly Part[]> {
  const estimate = count === null ? await estimateRows(client, relation) : Number(count);
  const whole: Part = { from: null, to: null, rowEstimate: estimate };
  const isSmall = estimate <= rowsMax * ONE_PART_BATCHES || (isUsual && estimate <= ONE_PART_ROWS && relation.bytes <= ONE_PART_BYTES);
  if (relation.key.length === 0 || !relation.hasXmin || isSmall) return [whole];
  const partCount = Math.ceil(estimate / partRows(estimate, rowsMax));
  const wanted = Math.min(SAMPLE_ROWS_MAX, Math.max(SAMPLE_ROWS_MIN, partCount * SAMPLE_ROWS_PER_PART));
  const percent = Math.min(100, (100 * wanted) / estimate);
  const keys = relation.key.map(({ sql }) => sql).join(', ');
  const texts = relation.key.map(({ sql }, i) => `(${sql})::text AS k${i}`).join(', ');
  const rows = await client.rows(relation.where, `SELECT ${texts} FROM
    (SELECT ${keys}, row_number() OVER (ORDER BY ${keys}) AS tidemark_nth, count(*) OVER () AS tidemark_of FROM ${relation.from} TABLESAMPLE SYSTEM (${percent})) t
    WHERE tidemark_nth < tidemark_of AND tidemark_nth * ${partCount} / tidemark_of > (tidemark_nth - 1) * ${partCount} / tidemark_of ORDER BY tidemark_nth`);
  const bounds = rows.map((row) => relation.key.map((_, i) => row[`k${i}`] ?? ''));
  const rowEstimate = Math.round(estimate / (bounds.length + 1));
  return [...bounds, null].map((to, i) => ({ from: i === 0 ? null : (bounds[i - 1] ?? null), to, rowEstimate }));
}

/** By the statistics, or by the size where there are none. */
async function estimateRows(client: PostgresClient, relation: Relation): Promise<number> {
  const row = await client.row(relation.where, `SELECT coalesce(sum(CASE WHEN c.reltuples >= 0 AND c.relpages > 0 THEN c.reltuples / c.relpages * pg_relation_size(c.oid) / current_setting('block_size')::int
      ELSE pg_relation_size(c.oid) / ${ROW_BYTES_GUESSED}.0 END), 0)::int8 AS rows FROM pg_class c WHERE c.oid = ANY($1::oid[]) AND c.relkind IN ('r', 'm')`, [`{${relation.leaves}}`]);
  return Number(row.rows);
}
