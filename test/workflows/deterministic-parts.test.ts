/** The pure parts of the workflows: when a window polls, work side by side, what a failure means. */
import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure, RetryState, TimeoutFailure, TimeoutType } from '@temporalio/common';
import fc from 'fast-check';
import { ERROR_CODES } from '../../schemas/errors.ts';
import type { ErrorCode, ErrorInfo } from '../../schemas/errors.ts';
import { inParallel } from '../../workflows/in-parallel.ts';
import { errorOf, failureOf, statusAfter, wantsWholeBatch } from '../../workflows/outcome.ts';
import { firstTick, nextTick, phaseOf, windowEnd } from '../../workflows/poll-clock.ts';

const instants = fc.integer({ min: 0, max: 4_102_444_800_000 });
const intervals = fc.integer({ min: 1, max: 3600 }).map((seconds) => seconds * 1000);

describe('the poll clock', () => {
  test('a window ends after now, at its offset from a multiple of its length, and not later than that length', () => {
    fc.assert(fc.property(instants, intervals, fc.integer({ min: 0, max: 3_600_000 }), (now, length, offset) => {
      const end = windowEnd(now, length, offset);
      expect(Math.abs(end - offset) % length).toBe(0);
      expect(end - now).toBeGreaterThan(0);
      expect(end - now).toBeLessThanOrEqual(length);
    }));
  });

  test('the first instant is due: not after now, less than an interval ago', () => {
    fc.assert(fc.property(instants, intervals, fc.string(), (now, every, source) => {
      const tick = firstTick(now, every, phaseOf(source, every));
      expect(tick).toBeLessThanOrEqual(now);
      expect(now - tick).toBeLessThan(every);
    }));
  });

  test('instants are those of the source, whoever asks and whenever', () => {
    fc.assert(fc.property(instants, instants, intervals, fc.string(), (a, b, every, source) => {
      const phase = (tick: number) => ((tick % every) + every) % every;
      expect(phase(firstTick(a, every, phaseOf(source, every)))).toBe(phase(firstTick(b, every, phaseOf(source, every))));
      expect(phase(nextTick(Math.max(a, b), firstTick(Math.min(a, b), every, phaseOf(source, every)), every))).toBe(phase(firstTick(a, every, phaseOf(source, every))));
    }));
  });

  test('the next instant lies ahead or is due now; where no poll took too long it is one interval on', () => {
    fc.assert(fc.property(instants, intervals, fc.integer({ min: 0, max: 10_000_000 }), (tick, every, took) => {
      const now = tick + took;
      const next = nextTick(now, tick, every);
      expect(next).toBeGreaterThan(tick);
      expect(next).toBeGreaterThanOrEqual(now);
      expect(next - now).toBeLessThanOrEqual(every);
      expect((next - tick) % every).toBe(0);
      if (took <= every) expect(next).toBe(tick + every);
    }));
  });

  test('a window after another leaves no instant out', () => {
    fc.assert(fc.property(instants, intervals, fc.string(), (begin, every, source) => {
      const length = every * 4;
      const seen: number[] = [];
      let now = begin;
      for (let windows = 0; windows < 3; windows += 1) {
        const end = windowEnd(now, length);
        for (let tick = firstTick(now, every, phaseOf(source, every)); tick < end; tick = nextTick(now, tick, every)) {
          now = Math.max(now, tick);
          seen.push(tick);
        }
        now = end;
      }
      const ticks = [...new Set(seen)];
      expect(ticks).toEqual(ticks.map((_, index) => ticks[0]! + index * every));
    }));
  });

  test.each([
    ['s0, s1, …', (index: number) => `s${index}`],
    ['bank_000, bank_001, …', (index: number) => `bank_${String(index).padStart(3, '0')}`],
    ['000_bank, 001_bank, …', (index: number) => `${String(index).padStart(3, '0')}_bank`],
  ])('a fleet does not poll at once: %s', (_, name) => {
    for (const everyMs of [5_000, 15_000, 30_000]) {
      const tenths = Array.from({ length: 10 }, () => 0);
      for (let index = 0; index < 500; index += 1) tenths[Math.floor((phaseOf(name(index), everyMs) / everyMs) * 10)]! += 1;
      // Fifty each on average.
      expect(Math.max(...tenths)).toBeLessThan(85);
      expect(Math.min(...tenths)).toBeGreaterThan(20);
    }
  });
});

describe('inParallel', () => {
  test('does each once, never more at once than allowed, begun in order', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 30 }), fc.integer({ min: 1, max: 6 }), async (turns, inFlight) => {
      const begun: number[] = [];
      let running = 0;
      let most = 0;
      await inParallel(turns.map((turn, index) => ({ turn, index })), inFlight, async ({ turn, index }) => {
        begun.push(index);
        most = Math.max(most, ++running);
        for (let left = turn; left > 0; left -= 1) await Promise.resolve();
        running -= 1;
      });
      expect(begun).toEqual(turns.map((_, index) => index));
      expect(most).toBeLessThanOrEqual(inFlight);
    }));
  });

  test('after a failure nothing new begins, what runs is waited for, and the first failure is thrown', async () => {
    const begun: number[] = [];
    const ended: number[] = [];
    const work = inParallel([0, 1, 2, 3, 4], 2, async (item) => {
      begun.push(item);
      if (item === 0) throw new Error('first');
      await new Promise((resolve) => setTimeout(resolve, 20));
      ended.push(item);
      throw new Error('second');
    });
    await expect(work).rejects.toThrow('first');
    expect(begun).toEqual([0, 1]);
    expect(ended).toEqual([1]);
  });
});

const info = (code: ErrorCode): ErrorInfo => ({ code, message: 'what happened', hint: 'what to do' });
const asActivityFailure = (cause: Error) => new ActivityFailure('Activity task failed', 'loadBatch', '1', RetryState.NON_RETRYABLE_FAILURE, 'worker', cause);
const codes = Object.keys(ERROR_CODES) as ErrorCode[];

describe('what a failure means', () => {
  test.each(codes)('%s comes through an activity and a child workflow unchanged', (code) => {
    const failure = asActivityFailure(failureOf(info(code)));
    expect(errorOf(failure)).toEqual(info(code));
    expect(errorOf(new ChildWorkflowFailure('default', { workflowId: 'w', runId: 'r' }, 'syncStream', RetryState.NON_RETRYABLE_FAILURE, failure))).toEqual(info(code));
  });

  test('what is not ours says nothing of itself', () => {
    for (const strange of [new Error('row 17 is bad'), 'row 17', null, asActivityFailure(ApplicationFailure.create({ message: 'row 17', type: 'PgError' }))]) {
      expect(errorOf(strange).code).toBe('internal.unexpected');
      expect(JSON.stringify(errorOf(strange))).not.toContain('17');
    }
    expect(errorOf(asActivityFailure(ApplicationFailure.create({ type: 'x', details: [{ code: 'no.such_code', message: 'row 17' }] }))).code).toBe('internal.unexpected');
  });

  test('a time-out says that workers are to be looked for', () => {
    expect(errorOf(asActivityFailure(new TimeoutFailure('timed out', undefined, TimeoutType.HEARTBEAT))).hint).toContain('tidemark worker');
  });

  const passing = ['source.sessions_busy', 'source.outside_read_window', 'source.replica_behind', 'source.fallback_unusable'];

  test.each(codes)('%s parks a stream unless the source can’t be reached now or its history is lost', (code) => {
    const expected = code === 'source.history_lost' ? 'history_lost' : ERROR_CODES[code].retry === 'unreachable' || passing.includes(code) ? 'skipped' : 'parked';
    expect(statusAfter(info(code))).toBe(expected);
  });

  test('just three codes want the whole batch again', () => {
    expect(codes.filter((code) => wantsWholeBatch(asActivityFailure(failureOf(info(code)))))).toEqual(['batch.fenced', 'batch.stage_lost', 'batch.equation']);
  });

  test('the message of a failed workflow has the hint', () => {
    expect(failureOf(info('source.table_missing')).message).toBe('what happened what to do');
    expect(failureOf({ ...info('source.table_missing'), hint: null }).message).toBe('what happened');
    expect(failureOf(info('internal.unexpected')).nonRetryable).toBe(true);
  });
});
