/**
 * The scan for deleted rows: all keys of the source, in one snapshot, against those of the target. Only a scan that came to its end deletes, in one
 * transaction with its ledger row; a row that was read after the scan's snapshot stays.
 */
import type { SourceSession } from '../../connectors/connector.ts';
import { batchTransaction, openBatch, readInOrder, requireOpenRun, type OpenBatch } from '../../destinations/postgres/batch.ts';
import { beginScan, endScan, type ScanEnd, type ScanRef } from '../../destinations/postgres/delete-scans.ts';
import { countLive, deleteMissing, findMissing, keepMissing, NOTHING_GONE, type Gone, type Scanned } from '../../destinations/postgres/deletes.ts';
import { SOURCE_KEYS } from '../../destinations/postgres/difference.ts';
import { pinValues } from '../../destinations/postgres/digest.ts';
import { destinationError } from '../../destinations/postgres/errors.ts';
import { quoteTable } from '../../destinations/postgres/identifiers.ts';
import { findLedger, readWatermark, writeLedger } from '../../destinations/postgres/ledger.ts';
import type { Session } from '../../destinations/postgres/session.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { loadKeys, loadPlan, withSource, type Engine, type OnProgress } from '../engine.ts';
import { faultPoint } from '../fault-point.ts';
import { whileNotAborted } from '../reconcile/compare.ts';
import type { StreamPlan } from '../stream-plan.ts';
import { touchLogOf } from '../touch-log.ts';
import { tellDeletes } from './batch-deletes.ts';
import { askToDelete, closeRequests, DeletesNotApproved, guardDeletes, useDeleteApproval } from './delete-cap.ts';
import { copyKeys, openLook, planKeyScan, takeKeys, type Copying, type KeyScan, type Look, type Looked } from './scan-keys.ts';

export interface ScanStep {
  readonly source: string;
  readonly stream: string;
  readonly runId: string;
  readonly step: string;
}

/** What a scan did; counts and words only. */
export interface ScanResult {
  readonly deleted: number;
  readonly bytes: number;
  readonly notes: readonly string[];
}

/** Waiting for the target is bounded, as everywhere. */
const LOCK_WAIT = '30s';

interface Scanning {
  readonly engine: Engine;
  readonly source: SourceSession;
  readonly plan: StreamPlan;
  readonly ref: ScanRef;
  readonly scan: KeyScan;
  readonly copying: Copying;
  /** What the scan looks through; null where the connector can't tell. */
  readonly scope: string | null;
  readonly scopeBefore: string | null;
}

/**
 * Compares all keys and deletes what the source has no more. Idempotent: a scan that is in the ledger is not made again, one that was broken off begins anew.
 * Throws `target.deletes_above_cap` where a person has to decide, `source.read_interrupted` where what it looked through changed meanwhile, `batch.fenced`.
 */
export async function scanDeletes(engine: Engine, step: ScanStep, signal: AbortSignal, onProgress: OnProgress): Promise<ScanResult> {
  const plan = await loadPlan(engine, step.source, step.stream);
  const watermark = await readWatermark(engine.destination, step.source, step.stream);
  if (watermark === null) throw new TidemarkError('run.incomplete', `Stream ${step.stream} was never synced to its end.`, { hint: `Run tidemark sync ${step.source} first.` });
  const ref: ScanRef = { ...step, generation: watermark.generation };
  const open = await openBatch(engine.destination, ref);
  const done = await engine.destination.session('looking into the ledger', (session) => findLedger(session, open.batch));
  if (done !== null) return { deleted: done.deleted, bytes: 0, notes: [] };
  const keys = await loadKeys(engine, plan);
  // Never through a fallback: rows that a replica does not have yet would be taken for deleted.
  return withSource(engine, step.source, signal, async (source) => {
    const scope = (await source.scanScope?.(plan.read)) ?? null;
    const { scan, scopeBefore } = await engine.destination.session('opening a scan', async (session) => ({ scan: await planKeyScan(session, source, plan), scopeBefore: await beginScan(session, ref) }));
    return scanOnce({ engine, source, plan, ref, scan, copying: { signal, onProgress, keys }, scope, scopeBefore }, open);
  });
}

async function scanOnce(scanning: Scanning, taken: OpenBatch): Promise<ScanResult> {
  const { engine, source, ref, scan, copying } = scanning;
  const { open, read: look } = await readInOrder(engine.destination, ref, taken, copying.signal, () => openLook(source, scan));
  await faultPoint('P1');
  const found: { end?: ScanEnd } = {};
  try {
    const result = await batchTransaction(engine.destination, open.batch, open.token, (session) =>
      whileNotAborted(engine, session, copying.signal, async () => {
        const { looked, gone, targetRows } = await compareKeys(session, scanning, open, look);
        const end: ScanEnd = { state: 'completed', batch: open.batch, way: 'digest' in look ? 'digest' : 'extract', scope: scanning.scope, sourceRows: looked.sourceRows, targetRows, found: gone.rows, deleted: gone.rows, asOf: looked.asOf };
        found.end = end;
        await applyScan(session, scanning, open, gone, end);
        await faultPoint('P6');
        return { deleted: gone.rows, bytes: 0, notes: [] };
      }),
    );
    await faultPoint('P7');
    return result;
  } catch (error) {
    if (error instanceof DeletesNotApproved && found.end !== undefined) return await askAbout(scanning, error, found.end);
    throw destinationError(error, 'scanning for deletes');
  } finally {
    if ('read' in look) look.read.stream.destroy();
  }
}

interface Compared {
  readonly looked: Looked;
  readonly gone: Gone;
  readonly targetRows: number;
}

async function compareKeys(session: Session, scanning: Scanning, open: OpenBatch, look: Look): Promise<Compared> {
  const { source, plan, ref, scan, copying } = scanning;
  await pinValues(session);
  await requireOpenRun(session, ref.runId, open.batch);
  const looked = await takeKeys(session, source, scan, look, copying);
  await faultPoint('P3');
  await holdTarget(session, plan, ref);
  const targetRows = await countLive(session, plan.target, plan.marksDeletes === true, null);
  if (looked.rows === null) return { looked, gone: NOTHING_GONE, targetRows };
  let gone = await findMissing(session, scannedBy(scanning, open), looked.rows, quoteTable(SOURCE_KEYS));
  // A source without snapshots may pass over a row that moves while it is read: what two reads both lack is gone.
  if (gone.rows > 0 && 'read' in look) {
    const again = await openLook(source, scan);
    if ('read' in again) await copyKeys(session, scan, again.read, copying);
    gone = await keepMissing(session, plan.key.length, quoteTable(SOURCE_KEYS));
  }
  if (gone.rows > 0) await requireSameScope(scanning);
  return { looked, gone, targetRows };
}

function scannedBy({ plan }: Scanning, open: OpenBatch): Scanned {
  return { target: plan.target, key: plan.key, batch: open.batch, marks: plan.marksDeletes === true, touchLog: touchLogOf(plan) };
}

/** The target before the watermark, as a swap locks them: from here on no other batch of the stream commits. */
async function holdTarget(session: Session, plan: StreamPlan, ref: ScanRef): Promise<void> {
  await session.query(`set local lock_timeout = '${LOCK_WAIT}'`);
  await session.query(`lock table ${quoteTable(plan.target)} in row exclusive mode`);
  const { rows } = await session.query<{ generation: number }>('select generation from tidemark.watermark where source = $1 and stream = $2 for update', [ref.source, ref.stream]);
  if (rows[0]?.generation !== ref.generation) throw new TidemarkError('batch.fenced', `Another generation of ${ref.stream} has taken the target's place; this scan deletes nothing.`);
}

async function requireSameScope({ source, plan, scope }: Scanning): Promise<void> {
  if (((await source.scanScope?.(plan.read)) ?? null) === scope) return;
  throw new TidemarkError('source.read_interrupted', `The definition of ${plan.stream} changed at the source while its keys were read; nothing was deleted.`);
}

async function applyScan(session: Session, scanning: Scanning, open: OpenBatch, gone: Gone, end: ScanEnd): Promise<void> {
  const { plan, ref, scope, scopeBefore } = scanning;
  const changed = scopeBefore !== null && scope !== null && scope !== scopeBefore;
  const doubt = changed ? 'What the scan looks through (the table or view, its definition, its policies or the user) is not what it was at the last scan.' : null;
  const approval = await guardDeletes(session, plan, { by: 'scan', runId: ref.runId, generation: ref.generation, batch: open.batch, gone, doubt });
  if (gone.rows > 0) {
    const deleted = await deleteMissing(session, plan, scannedBy(scanning, open), plan.deletes?.apply ?? 'soft');
    if (deleted !== gone.rows) throw new TidemarkError('batch.equation', `A scan of ${plan.stream} was to delete ${gone.rows} rows and deleted ${deleted}; nothing of it was committed.`, { hint: 'Look for triggers and rules on the target.' });
    const { source, stream, runId, generation } = ref;
    const counts = { read: deleted, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted };
    await writeLedger(session, { ...counts, batch: open.batch, source, stream, runId, generation, kind: 'scan', from: null, to: null, bytes: 0, hash: gone.hash });
    await useDeleteApproval(session, approval, open.batch);
    await tellDeletes(session, plan, { batch: open.batch, detect: 'scan', deleted });
  }
  await closeRequests(session, plan, 'scan');
  await endScan(session, ref, end);
  await session.query("update tidemark.batch set state = 'loaded', backend = null where batch = $1", [open.batch]);
}

/** Too many for the cap: the request is written beside the scan that found them. What a person has rejected stays, and the stream goes on. */
async function askAbout({ engine, ref }: Scanning, refused: DeletesNotApproved, end: ScanEnd): Promise<ScanResult> {
  const { approval, error } = await askToDelete(engine.destination, refused, (session, asked) =>
    endScan(session, ref, { ...end, deleted: 0, state: asked.state === 'rejected' ? 'rejected' : 'waiting' }),
  );
  if (approval.state !== 'rejected') throw error;
  return { deleted: 0, bytes: 0, notes: [`${approval.detail} This was rejected (step ${approval.id}), so they stay.`] };
}
