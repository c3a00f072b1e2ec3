/** How often a stream may fail before it parks: without progress, and with progress. */
import { WorkflowFailedError } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { asCountedActivity } from '../../activities/activity-context.ts';
import { TidemarkError, type ErrorCode } from '../../schemas/errors.ts';
import { FAILED_ATTEMPTS_MAX } from '../../workflows/activity-options.ts';
import type { StreamOutcome, SyncStreamInput } from '../../workflows/stream-input.ts';
import { describeWith } from '../support/describe-with.ts';
import { devServer, QUEUE, withWorker } from './environment.ts';
import { RecordedActivities } from './recorded-activities.ts';

const INPUT: SyncStreamInput = { runId: 'run', source: 'shop', stream: 'item', full: false, poll: 0, queue: QUEUE, priority: 3 };

describeWith({ temporal: true }, 'the budgets of a stream', () => {
  let environment: TestWorkflowEnvironment;
  let count = 0;

  beforeAll(async () => {
    environment = await devServer({});
  });

  const run = async (activities: RecordedActivities) =>
    withWorker(environment, activities.all, () => environment.client.workflow.execute('syncStream', { workflowId: `budget-${++count}`, taskQueue: QUEUE, args: [INPUT] }) as Promise<StreamOutcome>);
  /** Batches that each failed so often before they were extracted. */
  const limping = (batches: number, failedAttempts: number) => {
    let batch = 0;
    return new RecordedActivities({ extractBatch: async () => ({ batch: ++batch, read: 10, bytes: 100, more: batch < batches, needsTransform: false, failedAttempts }) });
  };

  test('a stream that limps on is parked once its failed attempts are too many, with what it has loaded', async () => {
    const activities = limping(1_000, 5);
    await expect(run(activities)).rejects.toMatchObject({ cause: { type: 'run.unstable' } });
    expect(activities.ends).toEqual({ item: { status: 'parked', code: 'run.unstable' } });
    expect(activities.argumentsOf('loadBatch')).toHaveLength(FAILED_ATTEMPTS_MAX / 5);
  });

  test('failures within the budget do not stop it', async () => {
    const activities = limping(FAILED_ATTEMPTS_MAX / 5, 5);
    expect((await run(activities)).status).toBe('completed');
  });

  test('attempts that could not reach an end do not count', async () => {
    const failures: ErrorCode[] = ['source.unreachable', 'source.statement_timeout', 'source.connection_lost'];
    const seen: unknown[] = [];
    const activities = new RecordedActivities({
      extractBatch: async () => {
        const result = await asCountedActivity(async () => {
          const code = failures.shift();
          if (code !== undefined) throw new TidemarkError(code, 'It failed.');
          return { batch: 1, read: 10, bytes: 100, more: false, needsTransform: false };
        });
        seen.push(result.failedAttempts);
        return result;
      },
    });
    expect((await run(activities)).status).toBe('completed');
    expect(seen).toEqual([1]);
  });

  test('an open breaker ends the run at once: nothing is tried again, nothing parks', async () => {
    let calls = 0;
    const activities = new RecordedActivities({
      extractBatch: async () => asCountedActivity(async () => {
        calls += 1;
        throw new TidemarkError('source.breaker_open', 'Not tried.');
      }),
    });
    const error = await run(activities).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(WorkflowFailedError);
    expect([calls, activities.ends]).toEqual([1, { item: { status: 'skipped', code: 'source.breaker_open' } }]);
  });
});
