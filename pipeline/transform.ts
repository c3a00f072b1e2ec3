import { reopenBatch, takeBatch, type BatchStep, type OpenBatch } from '../destinations/postgres/batch.ts';
import { countStage, markDuplicates, markMisfits, stageCounts, type StageCounts } from '../destinations/postgres/stage.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import type { TableName } from '../destinations/postgres/identifiers.ts';
import { applyRules, fillTransforms } from '../destinations/postgres/rules.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { stagedAs, stageOf } from './extract.ts';
import { loadPlan, type Engine } from './engine.ts';
import { markPast } from '../destinations/postgres/retention.ts';
import { retentionOf } from './retention-plan.ts';
import type { StreamPlan } from './stream-plan.ts';

/** Below this number of rows a share of bad ones says nothing. */
const BAD_ROWS_COUNTED_FROM = 1_000;

export interface TransformStep {
  readonly batch: number;
  /** Id of the part, for a batch that is a part of a build. */
  readonly part: number | null;
  /** Id of the slice, for a batch that is a slice of a backfill. */
  readonly slice?: number;
}

/**
 * Looks at the staged rows, set by set: marks those that a type refuses and, where the source does not enforce the key, all but the newest
 * version of each; evaluates transforms and applies rules. Idempotent: a mark is never taken back, and is set by the row alone.
 * Throws `batch.stage_lost` where the stage vanished, `batch.bad_rows` above the stream's share of rejected rows, `batch.rule_broken` where a row breaks a rule that stops.
 */
export async function transformBatch(engine: Engine, step: TransformStep): Promise<StageCounts> {
  const open = await takeBatch(engine.destination, step.batch);
  if (open.state === 'loaded') return { rejected: 0, superseded: 0 };
  const plan = await loadPlan(engine, open.source, open.stream);
  const stage = stageOf(plan, stagedAs(step), open.lenient);
  return engine.destination.transaction('transforming a batch', async (session) => {
    requireStage(open, await countStage(session, stage.table, open.batch));
    if (open.lenient) await markMisfits(session, stage);
    if (plan.key.length > 0 && !plan.keyProven) await markDuplicates(session, stage, plan.key, plan.cursor);
    await fillTransforms(session, stage);
    await applyRules(session, stage, plan.rules ?? [], { into: await whereTo(session, plan, open), key: plan.key });
    const retention = retentionOf(plan);
    if (retention !== null) await markPast(session, stage, retention);
    const counts = await stageCounts(session, stage.table);
    const read = open.staged!.read;
    if (read >= BAD_ROWS_COUNTED_FROM && counts.rejected > read * plan.badRowsMax) {
      throw new TidemarkError('batch.bad_rows', `${counts.rejected} of ${read} rows of ${plan.stream} are rejected by types, rules or transforms: more than bad_rows_max allows.`, {
        hint: 'Look at the source and the rules, or raise bad_rows_max of the stream; then run tidemark retry.',
      });
    }
    return counts;
  }).catch(async (error: unknown) => {
    if (error instanceof TidemarkError && error.code === 'batch.stage_lost') {
      await engine.destination.session('reopening a batch', (session) => reopenBatch(session, step.batch, open.token));
    }
    throw error;
  });
}

/** The table that the batch's rows will go into. */
async function whereTo(session: Session, plan: StreamPlan, open: BatchStep): Promise<TableName> {
  const { rows } = await session.query<TableName>(
    "select table_schema as schema, table_name as name from tidemark.generation where source = $1 and stream = $2 and generation = $3 and state = 'building'",
    [open.source, open.stream, open.generation],
  );
  return rows[0] ?? plan.target;
}

/** Throws `batch.stage_lost` unless the stage holds exactly the rows that were recorded when it was filled. */
export function requireStage(open: Pick<OpenBatch, 'batch' | 'staged'>, counted: number | null): void {
  if (open.staged !== null && counted === open.staged.read) return;
  throw new TidemarkError('batch.stage_lost', `The stage of batch ${open.batch} does not hold its rows any more.`, { hint: 'The batch is extracted again.' });
}
