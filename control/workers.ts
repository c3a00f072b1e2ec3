import { TidemarkError } from '../schemas/errors.ts';
import type { TemporalConnection } from '../runtime/temporal-client.ts';
import { MAIN_QUEUE } from './schedules.ts';

const WORKFLOW_QUEUE_TYPE = 1;

/** Throws `temporal.no_worker` where nobody has polled lately, since a run would wait without end. */
export async function requireWorker(temporal: TemporalConnection): Promise<void> {
  const { pollers } = await temporal.connection.workflowService.describeTaskQueue({ namespace: temporal.namespace, taskQueue: { name: MAIN_QUEUE }, taskQueueType: WORKFLOW_QUEUE_TYPE });
  if ((pollers ?? []).length > 0) return;
  throw new TidemarkError('temporal.no_worker', 'No worker is running.', { hint: 'Start one with tidemark worker, or everything on this machine with tidemark up.' });
}
