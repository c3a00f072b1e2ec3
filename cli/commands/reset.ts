import type { Approval } from '../../control/approvals.ts';
import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('reset')
    .argument('<source>', 'a source')
    .description('plan to build targets from nothing; each stream waits for its approve')
    .option('--stream <name>', 'only this stream (default: all that are enabled)')
    .action(async (source: string, options: { stream?: string }) => {
      const { withDestination } = await import('../../control/open.ts');
      const { planReset } = await import('../../control/approvals.ts');
      const place = await placeOf(context);
      const approvals = await withDestination(place, (destination) => planReset(destination, source, options.stream ?? null));
      await context.output.result({ ok: true, approvals }, () => (approvals.length === 0 ? `No stream of ${source} is enabled.` : approvals.map(resetText).join('\n')));
    });
};

function resetText({ id, source, stream, state, detail }: Approval): string {
  const decide = state === 'pending' ? `Nothing has changed yet. Decide: tidemark approve ${id} or tidemark reject ${id}` : 'Approved already; the next run carries it out.';
  return `${source} ${stream}: ${detail}\n  ${decide}`;
}
