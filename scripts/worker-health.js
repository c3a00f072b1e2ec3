/**
 * For a container's health check: exit code 0 if a worker of this host polled one of Tidemark's task queues within the last minute or
 * so, by what the Temporal server says. Runs on Node 24 only, as the image does.
 */
import { hostname } from 'node:os';
import { connectTemporal } from '../runtime/temporal-client.ts';
import { allQueues } from '../workers/task-queues.ts';

const TASK_QUEUE_TYPES = [1, 2];
const POLLED_WITHIN_SECONDS = 120;

async function pollers(temporal, queue) {
  const answers = await Promise.all(
    TASK_QUEUE_TYPES.map((taskQueueType) =>
      temporal.connection.workflowService.describeTaskQueue({ namespace: temporal.namespace, taskQueue: { name: queue }, taskQueueType }),
    ),
  );
  return answers.flatMap((answer) => answer.pollers ?? []);
}

const isHere = (poller) =>
  poller.identity?.endsWith(`@${hostname()}`) && Date.now() / 1000 - Number(poller.lastAccessTime?.seconds ?? 0) < POLLED_WITHIN_SECONDS;

async function main() {
  const temporal = await connectTemporal();
  try {
    const found = await Promise.all((await allQueues()).map((queue) => pollers(temporal, queue)));
    return found.flat().some(isHere);
  } finally {
    await temporal.close();
  }
}

process.exitCode = (await main().catch(() => false)) ? 0 : 1;
