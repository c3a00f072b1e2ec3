import { randomUUID } from 'node:crypto';
import { readPlan } from '../destinations/postgres/catalog.ts';
import type { Destination, Session } from '../destinations/postgres/destination.ts';
import { quoteTable } from '../destinations/postgres/identifiers.ts';
import { supersedeDeleted } from '../destinations/postgres/deletes.ts';
import { writeLedger, type Counts } from '../destinations/postgres/ledger.ts';
import { mergeStage, type Merge } from '../destinations/postgres/merge.ts';
import { closeReplayed, countWaiting, markOutdated, READ_BATCH_COLUMN, stageWaiting } from '../destinations/postgres/quarantine.ts';
import { applyRules, fillTransforms } from '../destinations/postgres/rules.ts';
import { dropStage, markMisfits, prepareStage, stageCounts, stageName, type Stage } from '../destinations/postgres/stage.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { stageDeletesOf } from './deletes/target-deletes.ts';
import { markPast } from '../destinations/postgres/retention.ts';
import { retentionOf } from './retention-plan.ts';
import type { StreamPlan } from './stream-plan.ts';
import { touchLogOf } from './touch-log.ts';

export interface Replayed extends Counts {
  /** Of the ledger; null where no row could be replayed. */
  readonly batch: number | null;
  /** Rows that wait after it. */
  readonly waiting: number;
}

/**
 * Runs the waiting rows of a stream again through today's types, transforms and rules, in one transaction with a ledger row of its own. Good ones are merged as
 * of the batch that read them, so that a newer row of the target stays; bad ones go on waiting.
 * Throws `run.not_applied` for a stream that was never loaded, `target.locked` while a build of it is on its way, `batch.rule_broken`.
 */
export async function replayQuarantine(destination: Destination, source: string, stream: string): Promise<Replayed> {
  return destination.transaction('replaying rejected rows', async (session) => {
    const { plan, generation } = await lockTarget(session, source, stream);
    const { rows } = await session.query<{ batch: string }>("select nextval('tidemark.batch_id') as batch");
    const batch = Number(rows[0]!.batch);
    const stage: Stage = { table: stageName(source, stream, 'replay'), columns: plan.columns, lenient: true, transforms: plan.transforms ?? [] };
    await prepareStage(session, stage, batch);
    const staged = await stageWaiting(session, stage, source, stream, plan.read.columns);
    const counts = await loadStaged(session, plan, stage, batch, staged.rows);
    if (staged.rows > 0) {
      await writeLedger(session, { ...counts, batch, source, stream, runId: `replay-${randomUUID()}`, generation, kind: 'replay', from: null, to: null, bytes: 0, hash: staged.hash });
      await closeReplayed(session, stage, batch);
    }
    await dropStage(session, stage.table);
    return { ...counts, batch: staged.rows > 0 ? batch : null, waiting: await countWaiting(session, source, stream) };
  });
}

async function loadStaged(session: Session, plan: StreamPlan, stage: Stage, batch: number, read: number): Promise<Counts> {
  await markMisfits(session, stage);
  await markOutdated(session, stage, plan.target, plan.key);
  await fillTransforms(session, stage);
  await applyRules(session, stage, plan.rules ?? [], { into: plan.target, key: plan.key });
  const onKnownKey = plan.mode === 'append' ? 'keep' : 'update';
  const merge: Merge = { stage, into: plan.target, key: plan.key, onKnownKey, batch, rowBatch: `s.${READ_BATCH_COLUMN}`, marked: true, mayBeOlder: true, touchLog: touchLogOf(plan), deletes: stageDeletesOf(plan) };
  await supersedeDeleted(session, plan, merge);
  const retention = retentionOf(plan);
  if (retention !== null) await markPast(session, stage, retention);
  const { rejected, superseded } = await stageCounts(session, stage.table);
  const { written, deleted } = await mergeStage(session, merge);
  return { read, written, rejected, superseded, deleted, unchanged: read - written - rejected - superseded - deleted };
}

/** The target before the watermark, as a swap locks them. */
async function lockTarget(session: Session, source: string, stream: string): Promise<{ plan: StreamPlan; generation: number }> {
  const plan = (await readPlan(session, source, stream)) as StreamPlan | null;
  if (plan === null) throw notLoaded(source, stream);
  const { rows: there } = await session.query<{ there: boolean }>('select to_regclass($1) is not null as there', [quoteTable(plan.target)]);
  if (!there[0]!.there) throw notLoaded(source, stream);
  await session.query(`lock table ${quoteTable(plan.target)} in row exclusive mode`);
  const { rows } = await session.query<{ generation: number; building: boolean }>(
    `select w.generation, exists (select from tidemark.generation g where g.source = w.source and g.stream = w.stream and g.state = 'building') as building
     from tidemark.watermark w where w.source = $1 and w.stream = $2 for update of w`,
    [source, stream],
  );
  if (!rows[0]) throw notLoaded(source, stream);
  if (rows[0].building) {
    throw new TidemarkError('target.locked', `The target of ${stream} is being built anew, which reads its rows again.`, { hint: 'Replay what still waits after the build: tidemark sync first.' });
  }
  return { plan, generation: rows[0].generation };
}

function notLoaded(source: string, stream: string): TidemarkError {
  return new TidemarkError('run.not_applied', `Stream ${stream} of ${source} has no target yet, or its settings changed since its last sync.`, { hint: `Run tidemark sync ${source} --stream ${stream}.` });
}
