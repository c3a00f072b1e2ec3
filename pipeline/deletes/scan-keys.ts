/** The keys of a source on their way to a scan: hashed there where the connector can, else all of them copied beside the target. */
import type { RowRead, SourceSession, StreamRead } from '../../connectors/connector.ts';
import { columnsOf, digestTable, DELETED_COLUMN, hashedRows, inBuckets, readProbe, type DigestTable } from '../../destinations/postgres/digest.ts';
import { createKeysTable, SOURCE_KEYS } from '../../destinations/postgres/difference.ts';
import { keyTypes } from '../../destinations/postgres/deletes.ts';
import { quoteIdent, quoteTable } from '../../destinations/postgres/identifiers.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import { copyInSql, REJECT_COLUMN } from '../../destinations/postgres/stage.ts';
import { BATCH_COLUMN } from '../../destinations/postgres/target.ts';
import { differingBuckets, rowsOf, type Digest, type DigestPlan } from '../../schemas/comparison.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { copyRows, keepError } from '../copy-rows.ts';
import type { OnProgress } from '../engine.ts';
import type { MaskKeys } from '../masks/mask-key.ts';
import { maskOf } from '../masks/masking.ts';
import { NO_MASKS } from '../masks/masked-columns.ts';
import { bucketsFor } from '../reconcile/compare.ts';
import type { StreamPlan } from '../stream-plan.ts';

export interface KeyScan {
  readonly plan: StreamPlan;
  /** The stream with its key columns only. */
  readonly read: StreamRead;
  /** Types of the target's key columns. */
  readonly types: readonly string[];
  readonly atSource: DigestPlan | null;
  readonly buckets: number;
}

export async function planKeyScan(session: Session, source: SourceSession, plan: StreamPlan): Promise<KeyScan> {
  const known = await keyTypes(session, plan.target, plan.key);
  const types = plan.key.map((name) => known.get(name) ?? 'text');
  const read: StreamRead = { ...plan.read, columns: plan.read.key };
  const masked = plan.read.key.some((name) => plan.masks?.columns.some((column) => column.name === name));
  const chosen = masked ? null : ((await source.comparison?.plan(read, types)) ?? null);
  const usable = chosen !== null && (chosen.algorithm !== 'pg64' || chosen.probe === (await readProbe(session)));
  return { plan, read, types, atSource: usable ? chosen : null, buckets: bucketsFor(plan.read.table.rowEstimate) };
}

/** One snapshot of the source: it is taken when {@link openLook} returns. */
export type Look = { readonly digest: Digest } | { readonly read: RowRead; readonly asOf: string };

export async function openLook(source: SourceSession, scan: KeyScan): Promise<Look> {
  if (scan.atSource !== null && source.comparison !== undefined) return { digest: await source.comparison.digest(scan.read, scan.atSource, scan.buckets) };
  return { asOf: new Date().toISOString(), read: keepError(await source.readPart(scan.read, { from: null, to: null, rowEstimate: scan.plan.read.table.rowEstimate }, 'copy-text')) };
}

export interface Looked {
  readonly sourceRows: number;
  readonly asOf: string;
  /** Rows of the target to look at, as a table expression with k0, k1, ... and the batch as b; null: both sides have the same keys. */
  readonly rows: string | null;
}

export interface Copying {
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  readonly keys: MaskKeys;
}

/** Fills {@link SOURCE_KEYS} with all keys of the source that may matter. */
export async function takeKeys(session: Session, source: SourceSession, scan: KeyScan, look: Look, copying: Copying): Promise<Looked> {
  if ('read' in look) {
    const sourceRows = await copyKeys(session, scan, look.read, copying);
    return { sourceRows, asOf: look.asOf, rows: targetRows(scan, null) };
  }
  const target = digestOf(scan);
  const sourceRows = rowsOf(look.digest);
  const chosen = differingBuckets(look.digest.buckets, (await digestTable(session, target, scan.buckets)).buckets);
  if (chosen.length === 0) return { sourceRows, asOf: look.digest.asOf, rows: null };
  if (source.comparison === undefined || scan.atSource === null) throw new TidemarkError('internal.unexpected', 'A source that does not hash was asked for hashed keys.');
  const names = await createKeysTable(session, scan.types);
  const read = keepError(await source.comparison.keys(scan.read, scan.atSource, scan.buckets, chosen));
  try {
    await copyRows(read, session, copyInSql(SOURCE_KEYS, names, read.format, { marked: read.marksRejects, fresh: false }), copying.signal, copying.onProgress, null);
  } finally {
    read.stream.destroy();
  }
  await session.query(`analyze ${quoteTable(SOURCE_KEYS)}`);
  return { sourceRows, asOf: look.digest.asOf, rows: targetRows(scan, chosen) };
}

/** All keys, through the masks of the key. One that the connector marks as no fit for its column is none that the target could have. Returns the number of rows read. */
export async function copyKeys(session: Session, scan: KeyScan, read: RowRead, { signal, onProgress, keys }: Copying): Promise<number> {
  const { plan } = scan;
  const names = scan.types.map((_, i) => `k${i}`);
  await session.query(`drop table if exists ${quoteTable(SOURCE_KEYS)}`);
  await createKeysTable(session, scan.types);
  try {
    const copied = await copyRows(read, session, copyInSql(SOURCE_KEYS, names, read.format, { marked: read.marksRejects, fresh: false }), signal, onProgress, maskOf(keyOnly(plan), read, keys));
    if (read.marksRejects) await session.query(`delete from ${quoteTable(SOURCE_KEYS)} where ${quoteIdent(REJECT_COLUMN)} is not null`);
    await session.query(`analyze ${quoteTable(SOURCE_KEYS)}`);
    return copied.rows;
  } finally {
    read.stream.destroy();
  }
}

/** The plan's masks where only the key columns are read. */
function keyOnly(plan: StreamPlan) {
  const masks = plan.masks ?? NO_MASKS;
  const columns = masks.columns.flatMap((column) => {
    const index = plan.read.key.indexOf(column.name);
    return index < 0 ? [] : [{ ...column, index }];
  }).sort((a, b) => a.index - b.index);
  return { source: plan.source, stream: plan.stream, columns: plan.read.key, masks: { ...masks, columns, keyAt: plan.read.key.map((_, i) => i) } };
}

function digestOf({ plan, atSource }: KeyScan): DigestTable {
  if (atSource === null) throw new TidemarkError('internal.unexpected', 'A scan without hashes was asked for them.');
  const names = new Map(plan.read.key.map((name, i) => [name, plan.key[i]!]));
  return { table: plan.target, key: plan.key, columns: columnsOf(atSource, names), algorithm: atSource.algorithm, where: liveRows(plan) };
}

function liveRows(plan: StreamPlan): string | null {
  return plan.marksDeletes === true ? `t.${DELETED_COLUMN} is null` : null;
}

function targetRows(scan: KeyScan, chosen: readonly number[] | null): string {
  const { plan } = scan;
  const columns = [...plan.key.map((name, i) => `t.${quoteIdent(name)} as k${i}`), `t.${BATCH_COLUMN} as b`].join(', ');
  const live = liveRows(plan);
  if (chosen === null) return `(select ${columns} from ${quoteTable(plan.target)} t${live === null ? '' : ` where ${live}`})`;
  // The hashed rows carry their batch as one more key column.
  const names = plan.key.map((_, i) => `h.k${i}`);
  const hashed = hashedRows({ ...digestOf(scan), key: [...plan.key, BATCH_COLUMN] });
  return `(select ${[...names, `h.k${plan.key.length} as b`].join(', ')} from ${hashed} h where ${inBuckets(scan.buckets, chosen)})`;
}
