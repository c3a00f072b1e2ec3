import type { Register } from '../context.ts';

/** Seconds that running batches may go on after SIGTERM. */
const GRACE_SECONDS = 300;

export const register: Register = (program, context) => {
  program
    .command('worker')
    .description('one worker process; run as many as you like, on as many machines')
    .option('--queues <names>', 'task queues to serve, comma-separated (default: all)')
    .option('--grace <seconds>', 'how long running batches may go on after a stop', String(GRACE_SECONDS))
    .action(async (options: { queues?: string; grace: string }) => {
      const { TidemarkError } = await import('../../schemas/errors.ts');
      const grace = Number(options.grace);
      if (!Number.isInteger(grace) || grace < 0) throw new TidemarkError('usage.invalid', '--grace takes a whole number of seconds.', { hint: 'For example --grace 60.' });
      const { startWorker } = await import('../../workers/start-worker.ts');
      const queues = options.queues?.split(',').map((queue) => queue.trim()).filter((queue) => queue !== '') ?? null;
      await startWorker({ queues, graceMs: grace * 1_000, configFile: await context.configFile(), dataDir: await context.dataDir(), signal: context.signal() });
      context.exitWith(0);
    });
};
