import type { Plan, PlannedChange } from '../../control/plan.ts';
import type { CliContext, Register } from '../context.ts';
import { placeOf } from '../place.ts';

export const register: Register = (program, context) => {
  program
    .command('plan')
    .description('what apply would change: sources, schedules, tables to create, columns to add; anything destructive is marked')
    .option('--offline', 'look at the file only, at no source and no destination')
    .action(async (options: { offline?: boolean }) => {
      const { readFile, variablesOf, withSettingsDestination } = await import('../../control/open.ts');
      const { listChanges, makePlan } = await import('../../control/plan.ts');
      const place = await placeOf(context);
      const offline = options.offline === true;
      const loaded = await readFile(place, false);
      const planning = { variables: variablesOf(place), offline, signal: context.signal() };
      const plan = offline ? await makePlan(loaded.settings, null, planning) : await withSettingsDestination(place, loaded, (destination) => makePlan(loaded.settings, destination, planning));
      const changes = listChanges(plan);
      await context.output.result({ ok: true, changes, ...remarksOf(plan) }, () => planText(context, plan, changes));
    });
};

/** Warnings and problems of all streams, flat. */
export function remarksOf(plan: Plan) {
  return { warnings: plan.sources.flatMap((source) => source.warnings), problems: plan.sources.flatMap((source) => source.problems) };
}

export async function planText(context: CliContext, plan: Plan, changes: readonly PlannedChange[]): Promise<string> {
  const { output } = context;
  const { warnings, problems } = remarksOf(plan);
  const table = changes.length === 0 ? 'Nothing to change.' : await output.table(['id', 'action', 'object', 'detail', ''], changes.map((change) => [change.id, change.action, change.object, change.detail, change.destructive ? output.colours.red('destructive') : '']));
  return [
    table,
    ...warnings.map((warning) => `${output.colours.yellow('warning')} ${warning.source} ${warning.stream}: ${warning.message}`),
    ...problems.map((problem) => `${output.colours.red('problem')} ${problem.source} ${problem.stream}: ${problem.message}${problem.hint === null ? '' : ` ${problem.hint}`}`),
  ].join('\n');
}
