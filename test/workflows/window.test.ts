/** A window of polls: at fixed instants, without a gap, and out of the way of people. */
import type { WorkflowHandle } from '@temporalio/client';
import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { windowEnd } from '../../workflows/poll-clock.ts';
import { waitFor } from '../support/processes.ts';
import { describeTimeSkipping, historyOf, QUEUE, timeSkippingServer, withWorker } from './environment.ts';
import { failure, RecordedActivities } from './recorded-activities.ts';

const checked = (changed: readonly string[]) => ({ changed, settled: 0, over: false, giveWay: false, queue: QUEUE, priority: 3 });

const ended = async (handle: WorkflowHandle): Promise<void> => void (await handle.result());

const EVERY = 60;
const WINDOW = 600;
/** Its end is no concern of the test, whenever it runs. */
const LONG = { windowSeconds: 100 * 365 * 86_400 };
/** So rare that no poll of its own falls between the first one and what the test asks for. */
const RARE = { ...LONG, everySeconds: 365 * 86_400 };
const WINDOW_INPUT = { source: 'shop', trigger: 'window', everySeconds: EVERY, windowSeconds: WINDOW };

describeTimeSkipping('a window of polls', () => {
  let environment: TestWorkflowEnvironment;
  let count = 0;

  beforeAll(async () => {
    environment = await timeSkippingServer();
  });

  const start = (input: object = {}) => environment.client.workflow.start('syncSource', { workflowId: `window-${++count}`, taskQueue: QUEUE, args: [{ ...WINDOW_INPUT, ...input }] });

  test('polls at fixed instants without a gap until the next window begins, with a bounded history and no child', async () => {
    // From the first second of a window, so that nearly all of it lies ahead.
    const now = await environment.currentTimeMs();
    await environment.sleep(windowEnd(now, WINDOW * 1000) - now + 1000);
    const activities = new RecordedActivities({ checkSource: async () => checked([]) });
    const history = await withWorker(environment, activities.all, async () => {
      const handle = await start();
      await handle.result();
      return historyOf(handle);
    });
    const polls = history.filter(({ type, attributes }) => type === 'markerRecorded' && attributes['markerName'] === 'core_local_activity');
    const fired = history.filter(({ type }) => type === 'timerFired').map(({ at }) => at);
    // Every minute of the window has its poll: each interval after the first begins with a timer at the same second of it.
    const instants = fired.map((at) => Math.floor(at / (EVERY * 1000)));
    expect(instants).toEqual(instants.map((_, index) => instants[0]! + index));
    expect(polls).toHaveLength(fired.length + 1);
    expect(polls.length).toBeGreaterThanOrEqual(WINDOW / EVERY);
    const begun = history[0]!.at;
    const end = windowEnd(begun, WINDOW * 1000);
    expect(fired.at(-1)!).toBeLessThanOrEqual(end);
    expect(end - fired.at(-1)!).toBeLessThanOrEqual(EVERY * 1000);
    expect(history.length).toBeLessThanOrEqual(30 + 6 * polls.length);
    expect(history.map(({ type }) => type)).not.toContain('startChildWorkflowExecutionInitiated');
    expect(activities.argumentsOf('checkSource').map(({ poll }) => poll)).toEqual(polls.map((_, index) => index));
  });

  test('a poll that finds something syncs it, and the next polls go on', async () => {
    const activities = new RecordedActivities({ checkSource: async ({ poll }) => checked(poll === 0 ? ['a'] : []) });
    await withWorker(environment, activities.all, async () => ended(await start()));
    expect(activities.argumentsOf('endStream')).toHaveLength(1);
    expect(activities.names.slice(0, 7)).toEqual(['takeTurn', 'checkSource', 'syncInPoll', 'prepareStream', 'extractBatch', 'loadBatch', 'endStream']);
    expect(activities.names.slice(7).filter((name) => name !== 'checkSource')).toEqual(['endRun']);
  });

  test('a poll that finds a little brings it itself: no child, and the step that a child would begin with', async () => {
    const activities = new RecordedActivities({ checkSource: async ({ poll }) => ({ ...checked(poll === 0 ? ['a'] : []), over: poll === 1 }), syncInPoll: async () => true });
    const history = await withWorker(environment, activities.all, async () => {
      const handle = await start(LONG);
      await ended(handle);
      return historyOf(handle);
    });
    expect(history.map(({ type }) => type)).not.toContain('startChildWorkflowExecutionInitiated');
    expect(activities.argumentsOf('syncInPoll')).toEqual([expect.objectContaining({ source: 'shop', stream: 'a', step: '0.0.i.0' })]);
    expect(activities.names).not.toContain('prepareStream');
  });

  test('polls that are close together share a task: the next ones count on from them, at the instants that follow', async () => {
    const asked: { poll: number; tick: number }[] = [];
    const activities = new RecordedActivities({
      pollSource: async ({ poll, tick, everySeconds }) => {
        asked.push({ poll, tick });
        return { ...checked([]), over: asked.length === 3, polls: 3, tick: tick + 2 * (everySeconds ?? 0) * 1000 };
      },
    });
    await withWorker(environment, activities.all, async () => ended(await start(LONG)));
    expect(asked.map(({ poll }) => poll)).toEqual([0, 3, 6]);
    expect(asked.map(({ tick }) => (tick - asked[0]!.tick) / (EVERY * 1000))).toEqual([0, 3, 6]);
    expect(activities.argumentsOf('endRun')).toEqual([expect.objectContaining({ polls: 9 })]);
  });

  test('a poll whose own attempt fails leaves the stream to its workflow, which begins with the same step', async () => {
    const activities = new RecordedActivities({
      checkSource: async ({ poll }) => ({ ...checked(poll === 0 ? ['a'] : []), over: poll === 1 }),
      syncInPoll: async () => { throw failure('internal.unexpected'); },
    });
    await withWorker(environment, activities.all, async () => ended(await start(LONG)));
    expect(activities.argumentsOf('extractBatch')).toEqual([expect.objectContaining({ step: '0.0.i.0' })]);
    expect(activities.argumentsOf('endStream')).toHaveLength(1);
  });

  test('it gives way to a run that a person asked for, on the signal, and goes on after it', async () => {
    const activities = new RecordedActivities({ checkSource: async () => checked([]) });
    await withWorker(environment, activities.all, async () => {
      const handle = await start(RARE);
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
    await withWorker(environment, activities.all, async () => ended(await start(LONG)));
    expect(activities.names).toEqual(['takeTurn', 'checkSource', 'giveWay', 'takeTurn', 'checkSource', 'checkSource', 'endRun']);
  });

  test('it ends when the schedule is another', async () => {
    const activities = new RecordedActivities({ checkSource: async ({ poll }) => ({ ...checked(['a']), over: poll === 1 }) });
    await withWorker(environment, activities.all, async () => ended(await start(LONG)));
    expect(activities.argumentsOf('checkSource')).toHaveLength(2);
    expect(activities.argumentsOf('endStream')).toHaveLength(1);
  });

  test('it ends when the source is no longer in the catalog', async () => {
    const activities = new RecordedActivities({ checkSource: async () => { throw failure('usage.unknown_source'); } });
    await withWorker(environment, activities.all, async () => ended(await start(LONG)));
    expect(activities.names).toEqual(['takeTurn', 'checkSource', 'endRun']);
  });

  test('a source that can’t be reached for one poll is asked again at the next', async () => {
    const activities = new RecordedActivities({
      checkSource: async ({ poll }) => {
        if (poll === 0) throw failure('source.unreachable');
        return { ...checked([]), over: poll === 2 };
      },
    });
    await withWorker(environment, activities.all, async () => ended(await start(LONG)).catch(() => undefined));
    expect(activities.argumentsOf('checkSource').map(({ poll }) => poll)).toEqual([0, 1, 2]);
    expect(activities.argumentsOf('endSource')).toEqual([expect.objectContaining({ status: 'skipped' })]);
  });

  test('polls that find the breaker still open write that down once', async () => {
    const answers: ('open' | 'news' | 'over')[] = ['open', 'open', 'open', 'news', 'open', 'over'];
    const activities = new RecordedActivities({
      checkSource: async ({ poll }) => {
        if (answers[poll] === 'open') throw failure('source.breaker_open');
        return { ...checked([]), over: answers[poll] === 'over' };
      },
    });
    await withWorker(environment, activities.all, async () => ended(await start(LONG)).catch(() => undefined));
    expect(activities.argumentsOf('checkSource')).toHaveLength(6);
    expect(activities.argumentsOf('endSource').map(({ poll }) => poll)).toEqual([0, 4]);
  });

  test('sync now polls at once', async () => {
    const activities = new RecordedActivities({ checkSource: async () => checked([]) });
    await withWorker(environment, activities.all, async () => {
      const handle = await start(RARE);
      await waitFor('the first poll', () => (activities.names.includes('checkSource') ? true : null));
      await handle.executeUpdate('syncNow');
      await waitFor('the poll asked for', () => (activities.argumentsOf('checkSource').length === 2 ? true : null));
      await handle.cancel();
      await handle.result().catch(() => undefined);
    });
  });
});
