/** Notices a schedule that should have started a run and did not. */
import { Cron } from 'croner';
import type { Schedule } from '../schemas/settings.ts';

/** Polls that may stay away before it is said. */
const MISSED_MAX = 3;
/** A run of a cron expression may begin this late. */
const CRON_GRACE_SECONDS = 3_600;

/**
 * The warning where nothing has been heard of a source for more than three intervals, or since an hour past a due time of its cron
 * expression; else null. `lastSign` and `now` are seconds since the epoch: the last time a run began, ended, polled or committed.
 */
export function overdueWarning(schedule: Schedule, lastSign: number, now: number): string | null {
  const due = dueBy(schedule, lastSign);
  if (due === null || now <= due) return null;
  const said = schedule.cron === null ? `every ${schedule.everySeconds} s` : `at "${schedule.cron}" ${schedule.timeZone}`;
  return `no sign of life since ${new Date(lastSign * 1_000).toISOString()}, though it is scheduled ${said}: check that Temporal and a worker run (tidemark worker)`;
}

function dueBy(schedule: Schedule, lastSign: number): number | null {
  if (schedule.cron === null) return schedule.everySeconds === null ? null : lastSign + MISSED_MAX * schedule.everySeconds;
  const due = new Cron(schedule.cron, { paused: true, timezone: schedule.timeZone }).nextRun(new Date(lastSign * 1_000));
  return due === null ? null : due.getTime() / 1_000 + CRON_GRACE_SECONDS;
}
