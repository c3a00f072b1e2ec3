/** Every time-out and retry policy of the workflows, named once. */
import type { ActivityOptions, LocalActivityOptions } from '@temporalio/workflow';

/** A worker that died is noticed after this long. */
const HEARTBEAT_TIMEOUT = '15s';

/** Questions to source and destination that end in seconds. Few attempts: a person may be waiting. */
export const QUESTION: ActivityOptions = {
  startToCloseTimeout: '2m',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '500ms', backoffCoefficient: 2, maximumInterval: '10s', maximumAttempts: 4 },
};

/** The budget of a stream for failures without progress: attempts at one step, over about a minute and a half. Then it parks. */
const ATTEMPTS_MAX = 8;
/** Its budget for failures with progress: failed attempts in one run, though batches are loaded in between. Then it parks. */
export const FAILED_ATTEMPTS_MAX = 40;

/** One batch: minutes at most, hours only for a table that must come from one snapshot. */
export const BATCH: ActivityOptions = {
  startToCloseTimeout: '6h',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '30s', maximumAttempts: ATTEMPTS_MAX },
};

/** Waiting for a turn: returns by itself after a bounded time and is called again. */
export const TURN: ActivityOptions = {
  startToCloseTimeout: '1m',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '10s', maximumAttempts: 10 },
};

/** A run that nobody waits for asks for its turn again after this long, and keeps no place of a worker meanwhile. */
export const TURN_LATER = '5s';

/** Writing down how something ended: tried for a long time, since the truth of `status` depends on it. */
export const BOOKKEEPING: ActivityOptions = {
  startToCloseTimeout: '1m',
  scheduleToCloseTimeout: '1h',
  heartbeatTimeout: HEARTBEAT_TIMEOUT,
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '30s' },
};

/** A poll inside a window: no history of its own beyond a marker; the next one comes anyway, so it is not tried again. */
export const POLL: LocalActivityOptions = {
  startToCloseTimeout: '1m',
  retry: { maximumAttempts: 1 },
};

/** A few rows inside a poll. What takes longer, or fails, is done by the stream's own workflow. */
export const POLL_SYNC: LocalActivityOptions = {
  startToCloseTimeout: '20s',
  retry: { maximumAttempts: 1 },
};

/** How often a batch is read again from the start where its stage was lost or its watermark moved. */
export const BATCH_RESTARTS_MAX = 3;
/** How often a run makes a new plan where the table is altered while it is read. */
export const NEW_PLANS_MAX = 3;
/** Parts of one build that are copied side by side. */
export const PARTS_IN_FLIGHT = 2;
/** Streams of one source that are synced side by side. */
export const STREAMS_IN_FLIGHT = 4;
/** Below every live sync: Temporal hands out 1 first, and sources have 1 to 4. */
export const BACKFILL_PRIORITY = 5;
/** How often a backfill that is held looks whether it may go on. */
export const HOLD_LOOK = '5s';
