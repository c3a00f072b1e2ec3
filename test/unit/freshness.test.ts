/** What a missed objective is put down to, and the lag that it is measured by. */
import { lagOf, objectiveWarnings, reasonOf } from '../../control/freshness.ts';
import type { WatchedStream } from '../../destinations/postgres/freshness.ts';
import type { SourceSettings } from '../../schemas/settings.ts';

const NOW = 1_000_000;
const ran: NonNullable<WatchedStream['last']> = { runId: 'r', status: 'completed', error: null, batches: 1, startedAt: NOW - 110, endedAt: NOW - 100, lastCommit: null };
const healthy: WatchedStream = {
  source: 'hq', stream: 'account', objectiveSeconds: 60, enabled: true, paused: false, parked: false, readWindow: null, timeZone: 'UTC', everySeconds: 30, appliedAt: NOW - 500,
  checkedAt: NOW - 100, asOf: NOW - 105, hasWatermark: true, last: ran, unreachable: false, active: null, missedSince: null,
};
const failed = (code: 'source.unreachable' | 'source.statement_timeout') => ({ ...ran, status: 'skipped' as const, error: { code, message: '', hint: null }, endedAt: NOW - 10 });

test.each<readonly [string, Partial<WatchedStream>, string]>([
  ['no run since', {}, 'no_run'],
  ['never a run', { last: null, checkedAt: null, asOf: null, hasWatermark: false }, 'no_run'],
  ['parked', { parked: true }, 'parked'],
  ['stopped with its source', { last: { ...ran, status: 'parked', endedAt: NOW - 10 } }, 'parked'],
  ['a run that has committed nothing', { last: { ...ran, status: 'running', endedAt: null } }, 'run_hangs'],
  ['a run that commits', { last: { ...ran, status: 'running', endedAt: null, lastCommit: NOW - 5 } }, 'run_slow'],
  ['a run that has just begun', { last: { ...ran, status: 'running', startedAt: NOW - 5, endedAt: null } }, 'run_slow'],
  ['a run of the source that has not come to the stream', { active: { trigger: 'manual' } }, 'run_hangs'],
  ['a window whose polls stay away', { active: { trigger: 'window' } }, 'run_hangs'],
  ['a window between two polls', { active: { trigger: 'window' }, everySeconds: 50 }, 'no_run'],
  ['a silent source', { last: failed('source.unreachable') }, 'source_unreachable'],
  ['a silent source that a run still tries', { unreachable: true, active: { trigger: 'manual' } }, 'source_unreachable'],
  ['a silent source that was reached since', { last: failed('source.unreachable'), checkedAt: NOW - 5 }, 'no_run'],
  ['another error', { last: failed('source.statement_timeout') }, 'run_failed'],
])('%s', (_name, changes, reason) => {
  const stream = { ...healthy, ...changes };
  expect(reasonOf(stream, 60, lagOf(stream, NOW), NOW)).toBe(reason);
});

test('the lag is measured from the source’s clock, since it was applied where there was no sync, and a clock that runs ahead hides nothing', () => {
  expect(lagOf(healthy, NOW)).toBe(105);
  expect(lagOf({ ...healthy, last: null, checkedAt: null, asOf: null, hasWatermark: false }, NOW)).toBe(500);
  expect(lagOf({ ...healthy, asOf: NOW + 3_600 }, NOW)).toBe(100);
});

test('plan names an objective that polls can’t meet', () => {
  const settings = { id: 'hq', schedule: { everySeconds: 60, cron: null, timeZone: 'UTC' }, streams: [{ name: 'a', enabled: true, freshnessSeconds: 60 }, { name: 'b', enabled: true, freshnessSeconds: 61 }, { name: 'c', enabled: true, freshnessSeconds: null }] };
  expect(objectiveWarnings(settings as unknown as SourceSettings)).toEqual([{ source: 'hq', stream: 'a', message: expect.stringContaining('every 60 s') }]);
});
