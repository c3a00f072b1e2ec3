import type { Approval } from '../../control/approvals.ts';
import { streamWords } from '../../schemas/command-words.ts';
import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';
import { awaitRuns } from './sync.ts';

export const register: Register = (program, context) => {
  program
    .command('approve')
    .argument('<id>', 'a planned step; tidemark status names those that wait')
    .description('let a planned destructive step through, run its stream, and return when the run ends')
    .option('--detach', 'do not wait for the run')
    .action(async (id: string, options: { detach?: boolean }) => {
      const { withDestination } = await import('../../control/open.ts');
      const { decideStep } = await import('../../control/approvals.ts');
      const { readStep, startApproved } = await import('../../control/approved-run.ts');
      const place = await placeOf(context);
      const began = performance.now();
      await withDestination(place, async (destination) => {
        const { approval, runs, held } = await decideStep(destination, id, 'approved');
        if (!runs) return context.output.result({ ok: true, approval, next: held }, () => decidedText(approval, held === null ? '' : `Next: ${held}`));
        // Asked for before the run is started: a Ctrl-C in between must find it, too.
        if (options.detach !== true) context.signal();
        const run = await startApproved(place, approval);
        if ('unavailable' in run) {
          const next = `tidemark sync ${streamWords(approval)}`;
          await context.output.note(`${run.unavailable.message} The decision is kept; the stream's next run carries it out.`);
          return context.output.result({ ok: true, approval, next }, () => decidedText(approval, `Next: ${next}`));
        }
        try {
          const workflows = run.started.map((each) => each.workflowId).join(', ');
          if (options.detach === true) return await context.output.result({ ok: true, approval, started: run.started }, () => decidedText(approval, `${workflows} carries it out.`));
          await context.output.line(decidedText(approval, ''));
          await awaitRuns(context, run.temporal.client, destination, async () => run.started, began, async () => ({ approval: await readStep(destination, approval) }));
        } finally {
          await run.temporal.close();
        }
      });
    });
};

export function decidedText({ id, source, stream, action, state, detail }: Approval, more: string): string {
  return [`${id}: ${state}. ${action} of ${source} ${stream}: ${detail}`, more].filter((line) => line !== '').join('\n');
}
