/** A sync that is long goes on in a new execution when the server suggests it, which the dev server is told to do early. */
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { describeWith } from '../support/describe-with.ts';
import type { StreamOutcome, SyncStreamInput } from '../../workflows/stream-input.ts';
import { devServer, historyOf, QUEUE, withWorker } from './environment.ts';
import { RecordedActivities } from './recorded-activities.ts';

const SUGGESTED_FROM_EVENTS = 60;
const INPUT: SyncStreamInput = { runId: 'run', source: 'shop', stream: 'item', full: true, poll: 0, queue: QUEUE, priority: 3 };

describeWith({ temporal: true }, 'a long sync', () => {
  let environment: TestWorkflowEnvironment;

  beforeAll(async () => {
    environment = await devServer({ 'limit.historyCount.suggestContinueAsNew': String(SUGGESTED_FROM_EVENTS) });
  });

  async function run(workflowId: string, activities: RecordedActivities): Promise<{ outcome: StreamOutcome; executions: number; longest: number }> {
    const { workflow } = environment.client;
    return withWorker(environment, activities.all, async () => {
      const first = await workflow.start('syncStream', { workflowId, taskQueue: QUEUE, args: [INPUT] });
      const outcome = (await first.result()) as StreamOutcome;
      let executions = 0;
      let longest = 0;
      for (let runId: string | undefined = first.firstExecutionRunId; runId !== undefined; executions += 1) {
        const history = await historyOf(workflow.getHandle(workflowId, runId));
        longest = Math.max(longest, history.length);
        const last = history.at(-1)!;
        runId = last.type === 'workflowExecutionContinuedAsNew' ? String(last.attributes['newExecutionRunId']) : undefined;
      }
      return { outcome, executions, longest };
    });
  }

  test('of many batches goes on where it was, counts what came before, and no history grows', async () => {
    const BATCHES = 25;
    let batch = 0;
    const activities = new RecordedActivities({ extractBatch: async () => ({ batch: ++batch, read: 10, bytes: 100, more: batch < BATCHES, needsTransform: true }) });
    const { outcome, executions, longest } = await run('batches', activities);
    expect(executions).toBeGreaterThan(1);
    expect(longest).toBeLessThan(SUGGESTED_FROM_EVENTS * 2);
    expect(outcome).toMatchObject({ status: 'completed', counts: { batches: BATCHES, read: BATCHES * 10, written: BATCHES * 8 } });
    // Steps name batches: none is named twice, or the second would be taken for a retry of the first.
    expect(new Set(activities.argumentsOf('extractBatch').map(({ step }) => step)).size).toBe(BATCHES);
    // Only the first execution may begin a build anew; the others go on with it.
    expect(activities.argumentsOf('prepareStream').map(({ full }) => full)).toEqual([true, ...Array.from({ length: executions - 1 }, () => false)]);
    expect(activities.argumentsOf('prepareStream').map(({ goesOn }) => goesOn)).toEqual([undefined, ...Array.from({ length: executions - 1 }, () => true)]);
    expect(activities.argumentsOf('endStream')).toHaveLength(1);
  });

  test('of many parts copies each once and swaps at the end', async () => {
    const open = new Set(Array.from({ length: 30 }, (_, part) => part));
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 4, parts: [...open], catchUp: false, notes: [] }),
      copyPart: async ({ part }) => {
        open.delete(part);
        return { batch: part, read: 10, bytes: 100, staged: false, paused: false };
      },
    });
    const { outcome, executions } = await run('parts', activities);
    expect(executions).toBeGreaterThan(1);
    expect(activities.argumentsOf('copyPart').map(({ part }) => part).sort((a, b) => a - b)).toEqual(Array.from({ length: 30 }, (_, part) => part));
    expect(outcome.counts).toMatchObject({ batches: 30, read: 300 });
    expect(activities.names.filter((name) => ['keyBuild', 'finishBuild', 'keyAndFinish'].includes(name))).toEqual(['keyAndFinish']);
  });
});
