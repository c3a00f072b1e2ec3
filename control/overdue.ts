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

/** A run that committed nothing for so long may wait for a worker that is not there. A table that comes from one snapshot may take longer. */
const QUIET_MAX_SECONDS = 900;

/** The warning for a stream that runs and has given no sign for long, else null. Times are seconds since the epoch: its start, its last batch, now. */
export function quietWarning(startedAt: number, lastCommit: number | null, now: number): string | null {
  const seconds = now - Math.max(startedAt, lastCommit ?? 0);
  if (seconds < QUIET_MAX_SECONDS) return null;
  return `it runs, and no batch was committed for ${Math.floor(seconds / 60)} min: check that a worker runs (tidemark worker); Temporal's UI shows what its step waits for`;
}

function dueBy(schedule: Schedule, lastSign: number): number | null {
  if (schedule.cron === null) return schedule.everySeconds === null ? null : lastSign + MISSED_MAX * schedule.everySeconds;
  const due = new Cron(schedule.cron, { paused: true, timezone: schedule.timeZone }).nextRun(new Date(lastSign * 1_000));
  return due === null ? null : due.getTime() / 1_000 + CRON_GRACE_SECONDS;
}
