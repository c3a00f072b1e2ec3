import type { Register } from '../context.ts';
import { placeOf } from '../place.ts';
import { planText, remarksOf } from './plan.ts';

export const register: Register = (program, context) => {
  program
    .command('apply')
    .description('register sources, create or change tables and schedules')
    .option('--yes', 'do not ask')
    .option('--approve <id...>', 'make these destructive changes of the plan')
    .action(async (options: { yes?: boolean; approve?: string[] }) => {
      const { readFile, variablesOf, withSettingsDestination, withTemporal } = await import('../../control/open.ts');
      const { listChanges, makePlan } = await import('../../control/plan.ts');
      const { applyPlan } = await import('../../control/apply.ts');
      const place = await placeOf(context);
      const { output } = context;
      const loaded = await readFile(place, true);
      await withTemporal(place, (temporal) =>
        withSettingsDestination(place, loaded, async (destination) => {
          const plan = await makePlan(loaded.settings, destination, { variables: variablesOf(place), offline: false, signal: context.signal() });
          const changes = listChanges(plan);
          if (!output.json) await output.line(await planText(context, plan, changes));
          if (changes.length > 0 && options.yes !== true && output.terminal && !(await confirm())) return context.exitWith(130);
          const approved = (options.approve ?? []).flatMap((ids) => ids.split(',')).map((id) => id.trim()).filter((id) => id !== '');
          const unknown = approved.filter((id) => !changes.some((change) => change.id === id));
          if (unknown.length > 0) await output.note(`${unknown.join(', ')}: no such change is planned now; tidemark plan has the ids.`);
          const { applied, refused, held } = await applyPlan(plan, destination, temporal.client, approved);
          if (refused.length > 0) context.exitWith(1);
          await output.result({ ok: refused.length === 0, changes, applied, refused, held, ...remarksOf(plan) }, () =>
            refused.length === 0 ? output.colours.green(`Applied ${applied.length} ${applied.length === 1 ? 'change' : 'changes'}.`) : `Applied ${applied.length}; not approved: ${refused.join(', ')}. Approve with --approve ${refused.join(' ')}.`,
          );
        }),
      );
    });
};

async function confirm(): Promise<boolean> {
  const { createInterface } = await import('node:readline/promises');
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test(await asking.question('Apply? [y/N] '));
  } finally {
    asking.close();
  }
}
