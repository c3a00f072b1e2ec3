import { makeTelemetryFilterString, NativeConnection, Runtime, Worker, type WorkerOptions } from '@temporalio/worker';
import { createReconcileActivities, type ReconcileActivities } from '../activities/reconcile-activities.ts';
import { createBackfillActivities, type BackfillActivities } from '../activities/backfill-activities.ts';
import { createPollSyncActivities } from '../activities/poll-sync-activities.ts';
import { createRunActivities } from '../activities/run-activities.ts';
import { createStreamActivities } from '../activities/stream-activities.ts';
import type { Activities } from '../activities/activities.ts';
import { MAIN_QUEUE } from '../control/schedules.ts';
import { openDestination, type Destination } from '../destinations/postgres/destination.ts';
import { logger, temporalLogger } from '../runtime/logging.ts';
import { ensureSearchAttributes } from '../runtime/search-attributes.ts';
import { registerUrlSecrets } from '../runtime/secret-masking.ts';
import { connectionOptions, connectTemporal, dataConverter, type TemporalConnection, type TemporalLocation } from '../runtime/temporal-client.ts';
import { bulkQueue } from '../schemas/task-queue.ts';
import { runBackground } from './background.ts';
import { BULK_AT_ONCE_MAX, bulkOptions, bulkPlaces } from './bulk-places.ts';
import { allQueues, queueOf } from './task-queues.ts';
import { createEngine, PART_ROWS_MAX, readCapabilities } from './wiring.ts';
import { workflowBundle } from './workflow-bundle.ts';

/** How many batches of live syncs one worker process works on at once: each may hold two connections and a few MiB. */
const ACTIVITIES_AT_ONCE = 12;
/**
 * Windows that one process keeps open at once: a window rests inside a local activity until its next instant (activities/poll-source.ts), and so
 * keeps its workflow task. With fewer, those of a fleet wait for each other. A cached one takes 0.1 MiB.
 */
const WINDOWS_AT_ONCE = 1_000;
/** The server's library warns of each workflow task that takes longer than 5 s, which a window's does whenever it rests. */
const SDK_LOG = `${makeTelemetryFilterString({ core: 'WARN', other: 'ERROR' })},temporalio_sdk_core::worker::workflow::managed_run=error`;
/** A cancel reaches a running batch with the answer to a heartbeat, so heartbeats are not held back longer than this. */
const HEARTBEAT_THROTTLE_MS = 1_000;
/** After the grace time, what still runs is given this long to cancel. */
const FORCE_AFTER_GRACE_MS = 6_000;

export interface WorkerSettings {
  readonly temporal: TemporalLocation;
  readonly destinationUrl: string;
  readonly variables: () => Readonly<Record<string, string | undefined>>;
  /** Null: all. */
  readonly queues: readonly string[] | null;
  /** How long running batches may go on after a stop was asked for. */
  readonly graceMs: number;
  readonly onReady: () => void;
  readonly signal: AbortSignal;
}

/** Runs one worker process until the signal. Throws what keeps it from starting. */
export async function runWorker(settings: WorkerSettings): Promise<void> {
  Runtime.install({ logger: temporalLogger(), shutdownSignals: [], telemetryOptions: { logging: { filter: SDK_LOG } } });
  registerUrlSecrets(settings.destinationUrl);
  const destination = openDestination(settings.destinationUrl, { applicationName: 'tidemark worker', sessionsMax: 2 * ACTIVITIES_AT_ONCE + BULK_AT_ONCE_MAX });
  try {
    await destination.ready();
    const client = await connectTemporal(settings.temporal);
    try {
      await ensureSearchAttributes(client.connection, settings.temporal.namespace);
      await serve(settings, destination, client);
    } finally {
      await client.close();
    }
  } finally {
    await destination.close();
  }
}

async function serve(settings: WorkerSettings, destination: Destination, client: TemporalConnection): Promise<void> {
  const connection = await NativeConnection.connect(connectionOptions(settings.temporal.address));
  try {
    const queues = settings.queues ?? (await allQueues());
    const bundle = queues.includes(MAIN_QUEUE) ? { codePath: await workflowBundle() } : null;
    const activities = createActivities(settings, destination, client);
    const workers = await Promise.all([
      ...queues.map((queue) => Worker.create({ ...options(settings), ...LIVE, connection, taskQueue: queue, activities, ...(queue === MAIN_QUEUE && bundle !== null ? { workflowBundle: bundle } : {}) })),
      ...queues.map((queue) => Worker.create({ ...options(settings), ...bulkOptions(bulkPlaces()), connection, taskQueue: bulkQueue(queue), activities })),
    ]);
    const running = Promise.all(workers.map((worker) => worker.run()));
    const stop = () => workers.forEach((worker) => worker.getState() === 'RUNNING' && worker.shutdown());
    settings.signal.addEventListener('abort', stop, { once: true });
    if (settings.signal.aborted) stop();
    logger({ component: 'worker' }).info({ queues: queues.join(',') }, 'polling');
    settings.onReady();
    const background = queues.includes(MAIN_QUEUE) ? runBackground(settings.destinationUrl, client.client, settings.variables, settings.signal) : null;
    await Promise.all([running, background]);
  } finally {
    await connection.close();
  }
}

function options(settings: WorkerSettings): Partial<WorkerOptions> {
  return {
    namespace: settings.temporal.namespace,
    dataConverter,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE_MS,
    defaultHeartbeatThrottleInterval: HEARTBEAT_THROTTLE_MS,
    shutdownGraceTime: settings.graceMs,
    shutdownForceTime: settings.graceMs + FORCE_AFTER_GRACE_MS,
  };
}

const LIVE: Partial<WorkerOptions> = {
  maxConcurrentActivityTaskExecutions: ACTIVITIES_AT_ONCE,
  maxConcurrentWorkflowTaskExecutions: WINDOWS_AT_ONCE,
  maxConcurrentLocalActivityExecutions: WINDOWS_AT_ONCE,
  maxCachedWorkflows: WINDOWS_AT_ONCE,
};

function createActivities(settings: WorkerSettings, destination: Destination, client: TemporalConnection): Activities & BackfillActivities & ReconcileActivities {
  const engine = createEngine(destination, settings.variables);
  const streams = { engine, capabilitiesOf: (source: string) => readCapabilities(destination, source), partRowsMax: PART_ROWS_MAX };
  return {
    ...createBackfillActivities({ engine, queueOf }),
    ...createRunActivities({ engine, temporal: client.client, queueOf }),
    ...createReconcileActivities({ engine, queueOf }),
    ...createStreamActivities(streams),
    ...createPollSyncActivities(streams),
  };
}
