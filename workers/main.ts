/** Entry of a worker process, started by `tidemark up`; `tidemark worker` is the same with options. */
import { logger, describeError } from '../runtime/logging.ts';
import { startWorker } from './start-worker.ts';

startWorker({ queues: null, graceMs: 0 }).then(
  (code) => process.exit(code),
  (error: unknown) => {
    logger({ component: 'worker' }).fatal({ error: describeError(error) }, 'the worker could not start');
    process.exit(3);
  },
);
