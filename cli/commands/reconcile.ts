import type { ReconcileOutcome } from '../../control/reconcile.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('reconcile')
    .argument('<source>', 'a source')
    .argument('[stream]', 'one stream of it (default: all)')
    .description('compares source and target row by row; names what differs')
    .option('--repair', 'copy again what differs, and only that')
    .action(async (source: string, stream: string | undefined, options: { repair?: boolean }) => {
      const { withDestination, withTemporal } = await import('../../control/open.ts');
      const { requireNames } = await import('../../control/operate.ts');
      const { reconcile } = await import('../../control/reconcile.ts');
      const { requireWorker } = await import('../../control/workers.ts');
      const place = await placeOf(context);
      const signal = context.signal();
      await withTemporal(place, async (temporal) => {
        await withDestination(place, (destination) => requireNames(destination, source, stream ?? null));
        await requireWorker(temporal);
        try {
          const repair = options.repair === true;
          await print(context, await reconcile(temporal.client, { source, stream: stream ?? null, repair, signal }), repair);
        } catch (error) {
          if (!signal.aborted) throw error;
          context.exitWith(130);
        }
      });
    });
};

async function print(context: CliContext, { ok, runId, streams }: ReconcileOutcome, repair: boolean): Promise<void> {
  const { output } = context;
  if (!ok) context.exitWith(1);
  await output.result({ ok, runId, streams }, async () => {
    const rows = streams.map((s) => [s.stream, ...[s.sourceRows, s.targetRows, s.missing, s.extra, s.different, s.unsettled, s.repaired].map((n) => n.toLocaleString('en-US')), s.asOf]);
    const table = await output.table(['stream', 'source rows', 'target rows', 'missing', 'extra', 'different', 'unsettled', 'repaired', 'as of'], rows);
    const remarks = streams.flatMap((s) => s.notes.map((note) => `${output.colours.yellow('warning')} ${s.stream}: ${note}`));
    const left = streams.filter((s) => s.named).reduce((sum, s) => sum + s.remaining, 0);
    const keys = repair ? `${left.toLocaleString('en-US')} keys still differ; they are in tidemark.difference at the destination.` : 'The keys that differ are in tidemark.difference at the destination; --repair copies them again.';
    return [table, ...remarks, ...(left > 0 ? [keys] : [])].join('\n');
  });
}
