import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';
import { awaitRuns } from './sync.ts';

export const register: Register = (program, context) => {
  program
    .command('retry')
    .argument('<source>', 'a source')
    .description('un-park streams and run them; returns when the run ends')
    .option('--stream <name>', 'only this stream (default: all that are parked or were skipped)')
    .action(async (source: string, options: { stream?: string }) => {
      const { withDestination, withTemporal } = await import('../../control/open.ts');
      const { requireNames, unpark } = await import('../../control/operate.ts');
      const { startSyncs } = await import('../../control/sync.ts');
      const { requireWorker } = await import('../../control/workers.ts');
      const place = await placeOf(context);
      const began = performance.now();
      await withTemporal(place, (temporal) =>
        withDestination(place, async (destination) => {
          const stream = options.stream ?? null;
          await requireNames(destination, source, stream);
          await requireWorker(temporal);
          const streams = await unpark(destination, source, stream);
          if (streams.length === 0) {
            return context.output.result({ ok: true, seconds: 0, streams: [] }, () => `Nothing of ${source} is parked or was skipped.`);
          }
          await awaitRuns(context, temporal.client, destination, () => startSyncs(temporal.client, { sources: [source], streams, full: false }), began);
        }),
      );
    });
};
