import type { Client, ScheduleOptions } from '@temporalio/client';
import { ScheduleNotFoundError, ScheduleOverlapPolicy } from '../runtime/temporal-library.ts';
import type { Schedule, SourceSettings } from '../schemas/settings.ts';
import type { SyncInput } from '../schemas/sync-input.ts';

/** The task queue of workflows, and of activities of sources whose driver needs no queue of its own: where runs are started and workers poll. */
export const MAIN_QUEUE = 'tidemark';
/** Intervals below this are polled inside windows, so that Temporal's UI lists a readable number of runs. */
const WINDOW_BELOW_SECONDS = 60;
/** A window lasts about this long. */
const WINDOW_SECONDS = 300;
/** After an outage longer than this, missed runs are not made up one by one: the next one reads everything since the watermark anyway. */
const CATCHUP_WINDOW = '1 minute';
/** A run that hangs may not keep its successors waiting for ever. */
const RUN_TIMEOUT = '24 hours';

export function scheduleId(source: string): string {
  return `tidemark/${source}`;
}

/** Makes a source's schedule as its settings say, changes the one that is there, or removes it. */
export async function putSchedule(client: Client, source: SourceSettings, paused: boolean): Promise<void> {
  const options = scheduleOptions(source, paused);
  if (options === null) return removeSchedule(client, source.id);
  const handle = client.schedule.getHandle(options.scheduleId);
  let changed = false;
  try {
    await handle.update((previous) => {
      changed = previous.action.type === 'startWorkflow' && JSON.stringify(previous.action.args) !== JSON.stringify(options.action.args);
      return { spec: options.spec, action: options.action, policies: options.policies, state: { paused } };
    });
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
    await client.schedule.create(options);
  }
  // The window that runs ends at its next poll; without this the next one would wait for the next multiple of its length.
  if (changed && !paused && isWindowed(source.schedule)) await handle.trigger();
}

export async function removeSchedule(client: Client, source: string): Promise<void> {
  try {
    await client.schedule.getHandle(scheduleId(source)).delete();
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

/** Pauses or resumes a source's schedule; nothing happens where it has none. */
export async function pauseSchedule(client: Client, source: string, paused: boolean): Promise<void> {
  const handle = client.schedule.getHandle(scheduleId(source));
  try {
    await (paused ? handle.pause('tidemark pause') : handle.unpause('tidemark resume'));
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

/** What a schedule does, in one line; changes whenever the schedule has to. */
export function describeSchedule(schedule: Schedule): string | null {
  if (schedule.cron !== null) return `cron ${schedule.cron} ${schedule.timeZone}`;
  return schedule.everySeconds === null ? null : `every ${schedule.everySeconds}s`;
}

function isWindowed(schedule: Schedule): boolean {
  return schedule.everySeconds !== null && schedule.everySeconds < WINDOW_BELOW_SECONDS;
}

function scheduleOptions(source: SourceSettings, paused: boolean): ScheduleOptions | null {
  const { everySeconds, cron, timeZone } = source.schedule;
  if (!source.enabled || (everySeconds === null && cron === null)) return null;
  const windowed = isWindowed(source.schedule);
  const windowSeconds = windowed && everySeconds !== null ? Math.ceil(WINDOW_SECONDS / everySeconds) * everySeconds : null;
  const input: SyncInput = windowed ? { source: source.id, trigger: 'window', windowSeconds, everySeconds } : { source: source.id, trigger: 'schedule' };
  return {
    scheduleId: scheduleId(source.id),
    spec: cron !== null ? { cronExpressions: [cron], timezone: timeZone } : { intervals: [{ every: `${windowSeconds ?? everySeconds} seconds` }] },
    action: {
      type: 'startWorkflow',
      workflowType: 'syncSource',
      workflowId: `sync/${source.id}`,
      taskQueue: MAIN_QUEUE,
      args: [input],
      workflowRunTimeout: RUN_TIMEOUT,
      staticSummary: `sync ${source.id}`,
    },
    policies: { overlap: ScheduleOverlapPolicy.BUFFER_ONE, catchupWindow: CATCHUP_WINDOW },
    // The first window begins at once; without this it would wait for the next multiple of its length.
    state: { paused, triggerImmediately: !paused && windowed },
  };
}
