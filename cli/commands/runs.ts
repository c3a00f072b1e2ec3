import type { HistoryRun } from '../../control/history.ts';
import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('runs')
    .argument('[source]', 'a source (default: all)')
    .description('the history of runs, newest first')
    .option('--limit <n>', 'how many', '20')
    .action(async (source: string | undefined, options: { limit: string }) => {
      const { withDestination } = await import('../../control/open.ts');
      const { listRuns, parseLimit } = await import('../../control/history.ts');
      const limit = parseLimit(options.limit);
      const runs = await withDestination(await placeOf(context), (destination) => listRuns(destination, source ?? null, limit));
      await context.output.result({ ok: true, runs }, async () => {
        if (runs.length === 0) return 'No run yet.';
        const rows = runs.map((run) => [
          run.source, run.kind, run.status, run.trigger, run.startedAt ?? run.requestedAt, run.endedAt ?? '', ...[run.polls, run.streams, run.read, run.written].map((n) => n.toLocaleString('en-US')), found(run), run.runId,
        ]);
        return context.output.table(['source', 'kind', 'status', 'trigger', 'started', 'ended', 'polls', 'streams', 'read', 'written', 'differences', 'run'], rows);
      });
    });
};

/** Keys that a comparison found; empty for runs that compare nothing. */
function found({ missing, extra, different }: HistoryRun): string {
  return missing === null || extra === null || different === null ? '' : (missing + extra + different).toLocaleString('en-US');
}
