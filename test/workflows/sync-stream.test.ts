/** The order of a stream's steps, and what it does about each kind of failure. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Context } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Activities } from '../../activities/activities.ts';
import type { StreamOutcome, SyncStreamInput } from '../../workflows/stream-input.ts';
import { describeTimeSkipping, QUEUE, timeSkippingServer, withWorker } from './environment.ts';
import { failure, RecordedActivities, WHOLE_BATCH } from './recorded-activities.ts';

const INPUT: SyncStreamInput = { runId: 'run', source: 'shop', stream: 'item', full: false, poll: 0, queue: QUEUE, priority: 3 };

describeTimeSkipping('syncStream', () => {
  let environment: TestWorkflowEnvironment;
  let count = 0;

  beforeAll(async () => {
    environment = await timeSkippingServer();
  });

  const options = (input: Partial<SyncStreamInput> = {}) => ({ workflowId: `stream-${++count}`, taskQueue: QUEUE, args: [{ ...INPUT, ...input }] });

  async function run(activities: RecordedActivities, input: Partial<SyncStreamInput> = {}): Promise<StreamOutcome> {
    return withWorker(environment, activities.all, () => environment.client.workflow.execute('syncStream', options(input)) as Promise<StreamOutcome>);
  }

  async function fails(activities: RecordedActivities, input: Partial<SyncStreamInput> = {}): Promise<ApplicationFailure> {
    const error = await run(activities, input).catch((thrown: unknown) => thrown);
    if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) throw new Error(`did not fail as expected: ${String(error)}`);
    return error.cause;
  }

  /** Answers the first calls one way and the rest another. */
  const first = <T>(times: number, early: () => T, late: () => T) => {
    let calls = 0;
    return async () => (calls++ < times ? early() : late());
  };

  const batch = (id: number, more: boolean) => ({ batch: id, read: 10, bytes: 100, more, needsTransform: true });

  test('batches follow one another until nothing is left below the bound, each a step of its own', async () => {
    const ids = [1, 2, 3];
    const activities = new RecordedActivities({ extractBatch: async () => batch(ids[0]!, ids.shift()! < 3) });
    const outcome = await run(activities);
    const steps = ['extractBatch', 'transformBatch', 'loadBatch'];
    expect(activities.names).toEqual(['prepareStream', ...steps, ...steps, ...steps, 'endStream']);
    expect(new Set(activities.argumentsOf('extractBatch').map(({ step }) => step)).size).toBe(3);
    expect(activities.argumentsOf('loadBatch').map((step) => step.batch)).toEqual([1, 2, 3]);
    expect(outcome).toEqual({ status: 'completed', counts: { batches: 3, read: 30, written: 24, unchanged: 6, rejected: 0, superseded: 0, deleted: 0, bytes: 300 } });
    expect(activities.ends).toEqual({ item: { status: 'completed', code: null } });
  });

  test('a batch whose rows need no look goes straight to the load', async () => {
    const activities = new RecordedActivities();
    await run(activities);
    expect(activities.names).toEqual(['prepareStream', 'extractBatch', 'loadBatch', 'endStream']);
  });

  test('batches that are in the target already are not loaded, and a pause between them is heeded', async () => {
    const loaded = { batches: 2, read: 10, written: 10, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };
    const direct = (more: boolean, paused: boolean) => ({ ...batch(1, more), needsTransform: false, loaded, paused });
    const activities = new RecordedActivities({ extractBatch: first(1, () => direct(true, false), () => direct(true, true)) });
    const outcome = await run(activities);
    expect(activities.names).toEqual(['prepareStream', 'extractBatch', 'extractBatch', 'endStream']);
    expect(outcome).toMatchObject({ status: 'paused', counts: { batches: 4, read: 20, written: 20, bytes: 200 } });
  });

  test('a first load copies all parts, then builds the key, catches up and swaps', async () => {
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 7, parts: [11, 12, 13], catchUp: true, notes: ['a note'] }),
      copyPart: async ({ part }) => ({ batch: part, read: 10, bytes: 100, staged: part === 12, paused: false }),
    });
    const outcome = await run(activities);
    const { names } = activities;
    // Two at a time, so their order is not fixed.
    expect(activities.argumentsOf('copyPart').map(({ part }) => part).sort()).toEqual([11, 12, 13]);
    expect(activities.argumentsOf('transformBatch')).toEqual([{ batch: 12, part: 12 }]);
    expect(activities.argumentsOf('loadBatch').map(({ part }) => part)).toEqual([12, null]);
    expect(names.indexOf('keyBuild')).toBeGreaterThan(names.lastIndexOf('copyPart'));
    // The read of the catch-up goes on beside the key.
    expect(names.slice(-5, -3).toSorted()).toEqual(['extractBatch', 'keyBuild']);
    expect(names.slice(-3)).toEqual(['loadBatch', 'finishBuild', 'endStream']);
    expect(outcome.counts).toMatchObject({ batches: 4, read: 40, bytes: 400 });
    expect(activities.argumentsOf('endStream')[0]).toMatchObject({ status: 'completed', notes: ['a note'] });
  });

  test('the catch-up is read while the key is built, and loaded after it', async () => {
    const extracted = Promise.withResolvers<void>();
    const seen: string[] = [];
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 7, parts: [11], catchUp: true, notes: [] }),
      keyBuild: async () => {
        await extracted.promise;
        await sleep(300);
        seen.push('key');
      },
      extractBatch: async () => {
        extracted.resolve();
        return batch(1, false);
      },
      transformBatch: async () => {
        seen.push('transform');
        return { rejected: 0, superseded: 0 };
      },
    });
    expect((await run(activities)).status).toBe('completed');
    expect(seen).toEqual(['key', 'transform']);
  });

  test.each([
    ['the key', 'source.type_unsupported', { keyBuild: async () => { throw failure('source.type_unsupported'); } }],
    ['its catch-up', 'source.privilege_missing', { extractBatch: async () => { throw failure('source.privilege_missing'); } }],
  ] as const)('a build that fails with %s parks, without a load and a swap', async (_, code, answers) => {
    const activities = new RecordedActivities({ prepareStream: async () => ({ action: 'build', generation: 7, parts: [11], catchUp: true, notes: [] }), ...answers });
    expect((await fails(activities)).type).toBe(code);
    expect(activities.ends).toEqual({ item: { status: 'parked', code } });
    expect(activities.names).not.toContain('loadBatch');
    expect(activities.names).not.toContain('finishBuild');
  });

  test('a build that nothing catches up has its key and its swap in one step', async () => {
    const activities = new RecordedActivities({ prepareStream: async () => ({ action: 'build', generation: 7, parts: [11], catchUp: false, notes: [] }) });
    expect(await run(activities)).toMatchObject({ status: 'completed', counts: { written: 10 } });
    expect(activities.names).toEqual(['prepareStream', 'copyPart', 'keyAndFinish', 'endStream']);
  });

  test.each([[true, { finishBuild: async () => 'unchanged' as const }], [false, { keyAndFinish: async () => 'unchanged' as const }]])('a build that equals the target counts its rows as unchanged (with a catch-up: %s)', async (catchUp, answers) => {
    const loaded = { batches: 1, read: 0, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 7, parts: [11], catchUp, notes: [] }),
      extractBatch: async () => ({ ...batch(1, false), read: 0, needsTransform: false, loaded }),
      ...answers,
    });
    expect((await run(activities)).counts).toMatchObject({ read: 10, written: 0, unchanged: 10 });
    expect(activities.names.includes('extractBatch')).toBe(catchUp);
  });

  test('an attempt that fails for a moment is the same step when it is called again', async () => {
    const flaky = first(2, (): ReturnType<typeof batch> => { throw failure('source.connection_lost'); }, () => batch(1, false));
    const activities = new RecordedActivities({ extractBatch: flaky });
    await run(activities);
    const steps = activities.argumentsOf('extractBatch').map(({ step }) => step);
    expect(steps).toHaveLength(3);
    expect(new Set(steps).size).toBe(1);
  });

  test.each(WHOLE_BATCH)('%s begins the whole batch anew', async (code) => {
    const loads = first(2, (): Awaited<ReturnType<Activities['loadBatch']>> => { throw failure(code); }, () => ({ read: 10, written: 10, unchanged: 0, rejected: 0, superseded: 0, deleted: 0, paused: false }));
    const activities = new RecordedActivities({ loadBatch: loads });
    expect(await run(activities)).toMatchObject({ status: 'completed', counts: { batches: 1, written: 10 } });
    expect(activities.names).toEqual(['prepareStream', 'extractBatch', 'loadBatch', 'extractBatch', 'loadBatch', 'extractBatch', 'loadBatch', 'endStream']);
    expect(new Set(activities.argumentsOf('extractBatch').map(({ step }) => step)).size).toBe(3);
  });

  test('at most three times, then the stream parks', async () => {
    const activities = new RecordedActivities({ loadBatch: async () => { throw failure('batch.stage_lost'); } });
    expect((await fails(activities)).type).toBe('batch.stage_lost');
    expect(activities.argumentsOf('extractBatch')).toHaveLength(4);
    expect(activities.ends).toEqual({ item: { status: 'parked', code: 'batch.stage_lost' } });
  });

  test('a part is begun anew like a batch', async () => {
    const copied = { batch: 1, read: 10, bytes: 100, staged: false, paused: false };
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 7, parts: [11], catchUp: false, notes: [] }),
      copyPart: first(1, (): typeof copied => { throw failure('batch.fenced'); }, () => copied),
    });
    expect(await run(activities)).toMatchObject({ status: 'completed', counts: { batches: 1 } });
    expect(activities.argumentsOf('copyPart')).toHaveLength(2);
  });

  test('after a part that failed for good no other begins, and nothing is swapped', async () => {
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 7, parts: [11, 12, 13, 14, 15, 16], catchUp: true, notes: [] }),
      copyPart: async () => { throw failure('source.privilege_missing'); },
    });
    expect((await fails(activities)).type).toBe('source.privilege_missing');
    expect(activities.argumentsOf('copyPart').length).toBeLessThanOrEqual(2);
    expect(activities.names).not.toContain('finishBuild');
  });

  test.each([
    ['source.table_missing', 'parked'],
    ['target.type_mismatch', 'parked'],
    ['source.history_lost', 'history_lost'],
    ['source.unreachable', 'skipped'],
    ['target.unreachable', 'skipped'],
  ] as const)('%s ends as %s, written down before the workflow fails', async (code, status) => {
    const activities = new RecordedActivities({ prepareStream: async () => { throw failure(code); } });
    const cause = await fails(activities);
    expect({ type: cause.type, message: cause.message }).toEqual({ type: code, message: `It failed with ${code}.` });
    expect(activities.ends).toEqual({ item: { status, code } });
  });

  test('a pause takes effect between two batches, not after the last one', async () => {
    const paused = { read: 10, written: 10, unchanged: 0, rejected: 0, superseded: 0, deleted: 0, paused: true };
    const ids = [1, 2];
    const left = new RecordedActivities({ extractBatch: async () => batch(1, true), loadBatch: async () => paused });
    expect((await run(left)).status).toBe('paused');
    expect(left.argumentsOf('extractBatch')).toHaveLength(1);
    const done = new RecordedActivities({ extractBatch: async () => batch(ids.shift()!, ids.length > 0), loadBatch: first(1, () => ({ ...paused, paused: false }), () => paused) });
    expect((await run(done)).status).toBe('completed');
  });

  test('a pause between two parts leaves the rest for later', async () => {
    const activities = new RecordedActivities({
      prepareStream: async () => ({ action: 'build', generation: 7, parts: [1, 2, 3, 4, 5, 6], catchUp: true, notes: [] }),
      copyPart: async ({ part }) => ({ batch: part, read: 10, bytes: 100, staged: false, paused: true }),
    });
    expect((await run(activities)).status).toBe('paused');
    expect(activities.argumentsOf('copyPart').length).toBeLessThanOrEqual(2);
    expect(activities.names).not.toContain('keyBuild');
  });

  test('a cancel reaches the running batch and is written down', async () => {
    const started = Promise.withResolvers<void>();
    const activities = new RecordedActivities({
      extractBatch: async () => {
        started.resolve();
        const context = Context.current();
        const beat = setInterval(() => context.heartbeat(), 50);
        return context.cancelled.finally(() => clearInterval(beat));
      },
    });
    await withWorker(environment, activities.all, async () => {
      const handle = await environment.client.workflow.start('syncStream', options());
      await started.promise;
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: expect.any(CancelledFailure) });
    });
    expect(activities.ends).toEqual({ item: { status: 'skipped', code: 'batch.cancelled' } });
    expect(activities.names).not.toContain('loadBatch');
  });
});
