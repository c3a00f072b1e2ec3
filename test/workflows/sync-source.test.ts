/** One run of a source: its turn, its streams beside one another, its end in every case. */
import { Context } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import type { Turn } from '../../activities/messages.ts';
import { waitFor } from '../support/processes.ts';
import { describeTimeSkipping, historyOf, QUEUE, timeSkippingServer, withWorker } from './environment.ts';
import { failure, RecordedActivities } from './recorded-activities.ts';

const checked = (changed: readonly string[]) => ({ changed, settled: 0, over: false, giveWay: false, queue: QUEUE, priority: 3 });

/** Waits until it is cancelled, with heartbeats, as a batch does. */
async function untilCancelled(): Promise<never> {
  const context = Context.current();
  const beat = setInterval(() => context.heartbeat(), 50);
  return context.cancelled.finally(() => clearInterval(beat));
}

describeTimeSkipping('syncSource', () => {
  let environment: TestWorkflowEnvironment;
  let count = 0;

  beforeAll(async () => {
    environment = await timeSkippingServer();
  });

  const options = (input: unknown) => ({ workflowId: `source-${++count}`, taskQueue: QUEUE, args: [input] });
  const start = (input: unknown = { source: 'shop' }) => environment.client.workflow.start('syncSource', options(input));

  async function run(activities: RecordedActivities, input: unknown = { source: 'shop' }): Promise<unknown> {
    return withWorker(environment, activities.all, () => environment.client.workflow.execute('syncSource', options(input)) as Promise<unknown>);
  }

  async function fails(activities: RecordedActivities, input?: unknown): Promise<ApplicationFailure> {
    const error = await run(activities, input).catch((thrown: unknown) => thrown);
    if (!(error instanceof WorkflowFailedError) || !(error.cause instanceof ApplicationFailure)) throw new Error(`did not fail as expected: ${String(error)}`);
    return error.cause;
  }

  test('the smallest input is enough', async () => {
    const activities = new RecordedActivities();
    expect(await run(activities, { source: 'shop' })).toMatchObject({ source: 'shop', status: 'completed', streams: [{ stream: 'a', status: 'completed' }] });
    expect(activities.names).toEqual(['takeTurn', 'checkSource', 'prepareStream', 'extractBatch', 'loadBatch', 'endStream', 'endRun']);
    expect(activities.argumentsOf('takeTurn')[0]).toMatchObject({ source: 'shop', trigger: 'manual', scope: { streams: null, full: false } });
  });

  test.each([
    ['nothing at all', null, /source: /],
    ['no source', {}, /source: /],
    ['a misspelt key', { source: 'shop', ful: true }, /"ful"/],
    ['a wrong type', { source: 'shop', full: 'yes' }, /full: .*boolean/],
    ['an empty id', { source: '' }, /source: /],
  ])('%s is refused in a sentence, and nothing is begun', async (_, input, says) => {
    const activities = new RecordedActivities();
    const cause = await fails(activities, input);
    expect(cause.type).toBe('usage.invalid');
    expect(cause.message).toMatch(says);
    expect(cause.message).toContain('{"source":"<id>"}');
    expect(activities.names).toEqual([]);
  });

  test('one stream parks, its neighbours finish, and the run fails with the name of that one', async () => {
    const activities = new RecordedActivities({
      checkSource: async () => checked(['a', 'broken', 'c', 'd', 'e', 'f']),
      prepareStream: async ({ stream }) => {
        if (stream === 'broken') throw failure('source.table_missing');
        return { action: 'increment', generation: 1, notes: [] };
      },
    });
    const cause = await fails(activities);
    const good = { status: 'completed', code: null };
    expect(activities.ends).toEqual({ a: good, broken: { status: 'parked', code: 'source.table_missing' }, c: good, d: good, e: good, f: good });
    expect(cause.type).toBe('run.failed');
    expect(cause.message).toContain('1 of 6 streams did not complete: broken parked (source.table_missing).');
    expect(activities.names.at(-1)).toBe('endRun');
    expect(activities.argumentsOf('endRun')[0]).toMatchObject({ status: null });
  });

  test('a source that can’t be reached is skipped, never parked', async () => {
    const activities = new RecordedActivities({ checkSource: async () => { throw failure('source.unreachable'); } });
    const cause = await fails(activities);
    expect(activities.argumentsOf('endSource')).toEqual([expect.objectContaining({ status: 'skipped', error: expect.objectContaining({ code: 'source.unreachable' }) })]);
    expect(activities.names).not.toContain('endStream');
    expect(cause.type).toBe('run.failed');
    expect(activities.argumentsOf('checkSource').length).toBeGreaterThan(1);
  });

  test('a wrong password parks the source’s streams at once', async () => {
    const activities = new RecordedActivities({ checkSource: async () => { throw failure('source.auth_failed'); } });
    await fails(activities);
    expect(activities.argumentsOf('checkSource')).toHaveLength(1);
    expect(activities.argumentsOf('endSource')[0]).toMatchObject({ status: 'parked' });
  });

  test.each(['usage.unknown_source', 'target.auth_failed'] as const)('%s fails the run itself, which is written down', async (code) => {
    const activities = new RecordedActivities({ checkSource: async () => { throw failure(code); } });
    expect((await fails(activities)).type).toBe(code);
    expect(activities.names).not.toContain('endSource');
    expect(activities.argumentsOf('endRun')[0]).toMatchObject({ status: 'failed' });
  });

  test('at most four streams of a source run at once', async () => {
    let running = 0;
    let most = 0;
    const activities = new RecordedActivities({
      checkSource: async () => checked(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']),
      extractBatch: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 50));
        running -= 1;
        return { batch: 1, read: 1, bytes: 1, more: false, needsTransform: false };
      },
    });
    await run(activities);
    expect(most).toBeLessThanOrEqual(4);
    expect(activities.argumentsOf('endStream')).toHaveLength(9);
  });

  test('it waits for its turn', async () => {
    const turns = ['waiting', 'waiting', 'active'] as const;
    let asked = 0;
    const activities = new RecordedActivities({ takeTurn: async () => ({ state: turns[asked++]! }) });
    await run(activities);
    expect(activities.names.slice(0, 4)).toEqual(['takeTurn', 'takeTurn', 'takeTurn', 'checkSource']);
  });

  test.each([
    ['schedule', 2],
    ['manual', 0],
  ])('a run by %s rests between two questions for its turn %i times, and keeps no place of a worker meanwhile', async (trigger, rests) => {
    const turns = ['waiting', 'waiting', 'active'] as const;
    let asked = 0;
    const activities = new RecordedActivities({ takeTurn: async () => ({ state: turns[asked++]! }) });
    const handle = await start({ source: 'shop', trigger });
    await withWorker(environment, activities.all, () => handle.result());
    expect((await historyOf(handle)).filter(({ type }) => type === 'timerFired')).toHaveLength(rests);
  });

  test('a turn that is shared ends with the run that has it, and says which', async () => {
    let asked = 0;
    const activities = new RecordedActivities({ takeTurn: async () => ({ state: 'shared', runId: 'the-other' }), awaitRun: async () => (++asked === 3 ? 'completed' : false) });
    expect(await run(activities)).toEqual({ sharedRunId: 'the-other' });
    expect(activities.names).toEqual(['takeTurn', 'awaitRun', 'awaitRun', 'awaitRun']);
  });

  test.each(['cancelled', 'lost'])('a run that shares one that is %s goes on by itself', async (end) => {
    const turns: Turn[] = [{ state: 'shared', runId: 'the-other' }, { state: 'active' }];
    const activities = new RecordedActivities({ takeTurn: async () => turns.shift()!, awaitRun: async () => end });
    await run(activities);
    expect(activities.names.slice(0, 4)).toEqual(['takeTurn', 'awaitRun', 'takeTurn', 'checkSource']);
  });

  test('a cancel reaches every stream and is written down', async () => {
    const activities = new RecordedActivities({ checkSource: async () => checked(['a', 'b']), extractBatch: untilCancelled });
    await withWorker(environment, activities.all, async () => {
      const handle = await start();
      await waitFor('both streams', () => (activities.argumentsOf('extractBatch').length === 2 ? true : null));
      await handle.cancel();
      await expect(handle.result()).rejects.toMatchObject({ cause: expect.any(CancelledFailure) });
      const cancelled = { status: 'skipped', code: 'batch.cancelled' };
      await waitFor('both ends', () => (activities.argumentsOf('endStream').length === 2 ? true : null));
      expect(activities.ends).toEqual({ a: cancelled, b: cancelled });
      expect(activities.argumentsOf('endRun')).toEqual([expect.objectContaining({ status: 'cancelled' })]);
    });
  });

  test('it can be asked how far it is, paused and resumed', async () => {
    const goOn = Promise.withResolvers<void>();
    const activities = new RecordedActivities({ extractBatch: async () => goOn.promise.then(() => ({ batch: 1, read: 1, bytes: 1, more: false, needsTransform: false })) });
    await withWorker(environment, activities.all, async () => {
      const handle = await start();
      await waitFor('the batch', () => (activities.names.includes('extractBatch') ? true : null));
      expect(await handle.query('progress')).toEqual({ source: 'shop', phase: 'syncing', polls: 1, running: ['a'] });
      await handle.executeUpdate('pause');
      await handle.executeUpdate('resume');
      goOn.resolve();
      await handle.result();
    });
    expect(activities.argumentsOf('setPaused').map(({ paused }) => paused)).toEqual([true, false]);
  });
});
