/** Entry of a worker process, started by `tidemark up`; `tidemark worker` is the same with options. */
import { logger, describeError } from '../runtime/logging.ts';
import { startWorker } from './start-worker.ts';

const stopping = new AbortController();
process.once('SIGINT', () => stopping.abort());
process.once('SIGTERM', () => stopping.abort());

startWorker({ queues: null, graceMs: 0, signal: stopping.signal }).then(
  () => process.exit(0),
  (error: unknown) => {
    logger({ component: 'worker' }).fatal({ error: describeError(error) }, 'the worker could not start');
    process.exit(3);
  },
);
