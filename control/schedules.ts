import { createHash } from 'node:crypto';
import type { Client, ScheduleOptions } from '@temporalio/client';
import { ScheduleNotFoundError, ScheduleOverlapPolicy } from '../runtime/temporal-library.ts';
import type { Schedule, SourceSettings } from '../schemas/settings.ts';
import type { ReconcileInput } from '../schemas/reconcile-input.ts';
import type { SyncInput } from '../schemas/sync-input.ts';

/** The task queue of workflows, and of activities of sources whose driver needs no queue of its own: where runs are started and workers poll. */
export const MAIN_QUEUE = 'tidemark';
/** Intervals below this are polled inside windows, so that Temporal's UI lists a readable number of runs. */
const WINDOW_BELOW_SECONDS = 60;
/** A window lasts about this long. */
const WINDOW_SECONDS = 300;
/** After an outage longer than this, missed runs are not made up one by one: the next one reads everything since the watermark anyway. */
const CATCHUP_WINDOW = '1 minute';
/** A night's comparison is made up where Temporal was away at its hour, not the next noon. */
const RECONCILE_CATCHUP_WINDOW = '1 hour';
/** Runs of one interval are spread over it, over an hour at most: what comes once a day still comes at about its hour. */
const SPREAD_MAX_SECONDS = 3_600;
/** A run that hangs may not keep its successors waiting for ever. */
const RUN_TIMEOUT = '24 hours';

export function scheduleId(source: string): string {
  return `tidemark/${source}`;
}

/** Of its comparisons. */
function reconcileScheduleId(source: string): string {
  return `${scheduleId(source)}/reconcile`;
}

/** Makes a source's schedules of syncs and comparisons as its settings say, changes those that are there, or removes them. */
export async function putSchedules(client: Client, source: SourceSettings, paused: boolean): Promise<void> {
  const syncs = scheduleOptions(source, paused);
  const comparisons = reconcileOptions(source, paused);
  await Promise.all([
    syncs === null ? remove(client, scheduleId(source.id)) : put(client, syncs, !paused && isWindowed(source.schedule)),
    comparisons === null ? remove(client, reconcileScheduleId(source.id)) : put(client, comparisons, false),
  ]);
}

/** `trigger`: where the action has changed, it begins now. */
async function put(client: Client, options: ScheduleOptions, trigger: boolean): Promise<void> {
  const paused = options.state?.paused === true;
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
  if (changed && trigger) await handle.trigger();
}

export async function removeSchedules(client: Client, source: string): Promise<void> {
  await Promise.all([scheduleId(source), reconcileScheduleId(source)].map((id) => remove(client, id)));
}

async function remove(client: Client, id: string): Promise<void> {
  try {
    await client.schedule.getHandle(id).delete();
  } catch (error) {
    if (!(error instanceof ScheduleNotFoundError)) throw error;
  }
}

/** Pauses or resumes a source's schedules; nothing happens where it has none. */
export async function pauseSchedules(client: Client, source: string, paused: boolean): Promise<void> {
  await Promise.all([scheduleId(source), reconcileScheduleId(source)].map((id) => pause(client, id, paused)));
}

async function pause(client: Client, id: string, paused: boolean): Promise<void> {
  const handle = client.schedule.getHandle(id);
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
  const { everySeconds, cron } = source.schedule;
  if (!source.enabled || (everySeconds === null && cron === null)) return null;
  const windowed = isWindowed(source.schedule);
  const windowSeconds = windowed && everySeconds !== null ? Math.ceil(WINDOW_SECONDS / everySeconds) * everySeconds : null;
  const intervalSeconds = windowSeconds ?? everySeconds ?? 0;
  const offsetSeconds = offsetOf(source.id, intervalSeconds);
  const input: SyncInput = windowed ? { source: source.id, trigger: 'window', windowSeconds, everySeconds, windowOffsetSeconds: offsetSeconds } : { source: source.id, trigger: 'schedule' };
  return {
    scheduleId: scheduleId(source.id),
    spec: specOf(source.schedule, intervalSeconds, offsetSeconds),
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

/** At the hours of a cron expression where there is one, else at the multiples of the interval, shifted. */
function specOf({ cron, timeZone }: Pick<Schedule, 'cron' | 'timeZone'>, intervalSeconds: number, offsetSeconds: number): ScheduleOptions['spec'] {
  if (cron !== null) return { cronExpressions: [cron], timezone: timeZone };
  return { intervals: [{ every: `${intervalSeconds} seconds`, offset: `${offsetSeconds} seconds` }] };
}

/** Whole seconds, the same for ever: the windows and runs of a fleet do not all begin at one instant. */
function offsetOf(schedule: string, intervalSeconds: number): number {
  return createHash('sha256').update(schedule).digest().readUInt32BE() % Math.max(1, Math.min(intervalSeconds, SPREAD_MAX_SECONDS));
}

function reconcileOptions(source: SourceSettings, paused: boolean): ScheduleOptions | null {
  const { reconcile } = source;
  if (!source.enabled || reconcile === undefined) return null;
  const intervalSeconds = reconcile.everySeconds ?? 0;
  const input: ReconcileInput = { source: source.id, trigger: 'schedule' };
  return {
    scheduleId: reconcileScheduleId(source.id),
    spec: specOf(reconcile, intervalSeconds, offsetOf(reconcileScheduleId(source.id), intervalSeconds)),
    action: { type: 'startWorkflow', workflowType: 'reconcileSource', workflowId: `reconcile/${source.id}`, taskQueue: MAIN_QUEUE, args: [input], workflowRunTimeout: RUN_TIMEOUT, staticSummary: `reconcile ${source.id}` },
    policies: { overlap: ScheduleOverlapPolicy.SKIP, catchupWindow: RECONCILE_CATCHUP_WINDOW },
    state: { paused },
  };
}
