/** One run of a source: its turn, its streams beside one another, its end in every case. */
import { Context } from '@temporalio/activity';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure, CancelledFailure } from '@temporalio/common';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
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

  test('a turn that is shared ends with the run that has it, and says which', async () => {
    let asked = 0;
    const activities = new RecordedActivities({ takeTurn: async () => ({ state: 'shared', runId: 'the-other' }), awaitRun: async () => ++asked === 3 });
    expect(await run(activities)).toEqual({ sharedRunId: 'the-other' });
    expect(activities.names).toEqual(['takeTurn', 'awaitRun', 'awaitRun', 'awaitRun']);
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

const EVERY = 60;
const WINDOW = 600;
const WINDOW_INPUT = { source: 'shop', trigger: 'window', everySeconds: EVERY, windowSeconds: WINDOW };

describeTimeSkipping('a window of polls', () => {
  let environment: TestWorkflowEnvironment;
  let count = 0;

  beforeAll(async () => {
    environment = await timeSkippingServer();
  });

  const start = (input: object = {}) => environment.client.workflow.start('syncSource', { workflowId: `window-${++count}`, taskQueue: QUEUE, args: [{ ...WINDOW_INPUT, ...input }] });

  test('polls at fixed instants without a gap until the next window begins, with a bounded history and no child', async () => {
    const activities = new RecordedActivities({ checkSource: async () => checked([]) });
    const history = await withWorker(environment, activities.all, async () => {
      const handle = await start();
      await handle.result();
      return historyOf(handle);
    });
    const polls = history.filter(({ type }) => type === 'markerRecorded');
    const fired = history.filter(({ type }) => type === 'timerFired').map(({ at }) => at);
    // Every minute of the window has its poll: each interval after the first begins with a timer at the same second of it.
    const instants = fired.map((at) => Math.floor(at / (EVERY * 1000)));
    expect(instants).toEqual(instants.map((_, index) => instants[0]! + index));
    expect(polls).toHaveLength(fired.length + 1);
    const begun = history[0]!.at;
    const end = (Math.floor(begun / (WINDOW * 1000)) + 1) * WINDOW * 1000;
    expect(fired.at(-1)!).toBeLessThanOrEqual(end);
    expect(end - fired.at(-1)!).toBeLessThanOrEqual(EVERY * 1000);
    expect(history.length).toBeLessThanOrEqual(30 + 6 * polls.length);
    expect(history.map(({ type }) => type)).not.toContain('startChildWorkflowExecutionInitiated');
    expect(activities.argumentsOf('checkSource').map(({ poll }) => poll)).toEqual(polls.map((_, index) => index));
  });

  test('a poll that finds something syncs it, and the next polls go on', async () => {
    const activities = new RecordedActivities({ checkSource: async ({ poll }) => checked(poll === 0 ? ['a'] : []) });
    await withWorker(environment, activities.all, async () => (await start()).result());
    expect(activities.argumentsOf('endStream')).toHaveLength(1);
    expect(activities.names.slice(0, 6)).toEqual(['takeTurn', 'checkSource', 'prepareStream', 'extractBatch', 'loadBatch', 'endStream']);
    expect(activities.names.slice(6).filter((name) => name !== 'checkSource')).toEqual(['endRun']);
  });

  test('it gives way to a run that a person asked for, on the signal, and goes on after it', async () => {
    const activities = new RecordedActivities({ checkSource: async () => checked([]) });
    await withWorker(environment, activities.all, async () => {
      const handle = await start({ windowSeconds: 86_400 });
      await waitFor('the first poll', () => (activities.names.includes('checkSource') ? true : null));
      await handle.signal('giveWay');
      await waitFor('the poll after', () => (activities.argumentsOf('checkSource').length === 2 ? true : null));
      expect(activities.names).toEqual(['takeTurn', 'checkSource', 'giveWay', 'takeTurn', 'checkSource']);
      await handle.cancel();
      await handle.result().catch(() => undefined);
    });
    expect(activities.argumentsOf('endRun')).toEqual([expect.objectContaining({ status: 'cancelled' })]);
  });

  test('it gives way where the poll finds somebody waiting', async () => {
    const activities = new RecordedActivities({ checkSource: async ({ poll }) => ({ ...checked([]), giveWay: poll === 0, over: poll === 2 }) });
    await withWorker(environment, activities.all, async () => (await start({ windowSeconds: 86_400 })).result());
    expect(activities.names).toEqual(['takeTurn', 'checkSource', 'giveWay', 'takeTurn', 'checkSource', 'checkSource', 'endRun']);
  });

  test('it ends when the schedule is another', async () => {
    const activities = new RecordedActivities({ checkSource: async ({ poll }) => ({ ...checked(['a']), over: poll === 1 }) });
    await withWorker(environment, activities.all, async () => (await start({ windowSeconds: 86_400 })).result());
    expect(activities.argumentsOf('checkSource')).toHaveLength(2);
    expect(activities.argumentsOf('endStream')).toHaveLength(1);
  });

  test('it ends when the source is no longer in the catalog', async () => {
    const activities = new RecordedActivities({ checkSource: async () => { throw failure('usage.unknown_source'); } });
    await withWorker(environment, activities.all, async () => (await start({ windowSeconds: 86_400 })).result());
    expect(activities.names).toEqual(['takeTurn', 'checkSource', 'endRun']);
  });

  test('a source that can’t be reached for one poll is asked again at the next', async () => {
    const activities = new RecordedActivities({
      checkSource: async ({ poll }) => {
        if (poll === 0) throw failure('source.unreachable');
        return { ...checked([]), over: poll === 2 };
      },
    });
    await withWorker(environment, activities.all, async () => (await start({ windowSeconds: 86_400 })).result().catch(() => undefined));
    expect(activities.argumentsOf('checkSource').map(({ poll }) => poll)).toEqual([0, 1, 2]);
    expect(activities.argumentsOf('endSource')).toEqual([expect.objectContaining({ status: 'skipped' })]);
  });

  test('sync now polls at once', async () => {
    const activities = new RecordedActivities({ checkSource: async () => checked([]) });
    await withWorker(environment, activities.all, async () => {
      const handle = await start({ everySeconds: 43_200, windowSeconds: 86_400 * 30 });
      await waitFor('the first poll', () => (activities.names.includes('checkSource') ? true : null));
      await handle.executeUpdate('syncNow');
      await waitFor('the poll asked for', () => (activities.argumentsOf('checkSource').length === 2 ? true : null));
      await handle.cancel();
      await handle.result().catch(() => undefined);
    });
  });
});
