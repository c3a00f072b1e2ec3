/** A schedule that does not fire is noticed. */
import { lagText } from '../../cli/commands/status.ts';
import { overdueWarning, quietWarning } from '../../control/overdue.ts';

const at = (text: string): number => Date.parse(text) / 1_000;
const every = (seconds: number) => ({ everySeconds: seconds, cron: null, timeZone: 'UTC' });
const NIGHTLY = { everySeconds: null, cron: '0 2 * * *', timeZone: 'Africa/Dar_es_Salaam' };

test.each([
  ['within three intervals', every(30), '2026-01-01T00:01:30Z', false],
  ['after three intervals', every(30), '2026-01-01T00:01:31Z', true],
  ['a cron expression that is not due yet', NIGHTLY, '2026-01-01T22:59:00Z', false],
  ['within the hour after it is due, by its time zone', NIGHTLY, '2026-01-01T23:59:00Z', false],
  ['more than an hour past it', NIGHTLY, '2026-01-02T00:01:00Z', true],
  ['only run by hand', { everySeconds: null, cron: null, timeZone: 'UTC' }, '2030-01-01T00:00:00Z', false],
])('%s', (_name, schedule, now, overdue) => {
  const warning = overdueWarning(schedule, at('2026-01-01T00:00:00Z'), at(now));
  expect(warning !== null).toBe(overdue);
  if (overdue) expect(warning).toMatch(/2026-01-01T00:00:00.000Z.*worker/);
});

test.each([[4.234, '4.2 s'], [119.94, '119.9 s'], [600, '10 min'], [7_200, '2 h'], [172_800, '2 d']])('a lag of %d s reads %s', (seconds, text) => {
  expect(lagText(seconds)).toBe(text);
});

test('a run that has committed nothing for long is told, since its start or its last batch', () => {
  expect(quietWarning(1_000, null, 1_000 + 899)).toBeNull();
  expect(quietWarning(1_000, null, 1_000 + 1_800)).toContain('for 30 min');
  expect(quietWarning(1_000, 5_000, 5_600)).toBeNull();
  expect(quietWarning(1_000, 5_000, 6_200)).toContain('tidemark worker');
});
