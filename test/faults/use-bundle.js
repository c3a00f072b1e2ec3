/**
 * Loaded with `--import` into a worker under test: its workflows are those of the bundle TIDEMARK_TEST_BUNDLE, made from older code; its activities
 * are today's.
 */
import { isMainThread } from 'node:worker_threads';

const codePath = process.env.TIDEMARK_TEST_BUNDLE;

if (isMainThread && codePath && process.argv.includes('worker')) {
  const { Worker } = await import('@temporalio/worker');
  const create = Worker.create.bind(Worker);
  Worker.create = (options) => create(options.workflowBundle ? { ...options, workflowBundle: { codePath } } : options);
}
