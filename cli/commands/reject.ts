import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';
import { decidedText } from './approve.ts';

export const register: Register = (program, context) => {
  program
    .command('reject')
    .argument('<id>', 'a planned step; tidemark status names those that wait')
    .description('refuse a planned destructive step: the target stays as it is')
    .action(async (id: string) => {
      const { withDestination } = await import('../../control/open.ts');
      const { decideStep } = await import('../../control/approvals.ts');
      const place = await placeOf(context);
      const { approval } = await withDestination(place, (destination) => decideStep(destination, id, 'rejected'));
      await context.output.result({ ok: true, approval }, () => decidedText(approval, ''));
    });
};
