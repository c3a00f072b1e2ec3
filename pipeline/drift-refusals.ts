/** Changes of a source's table that a person has to know of before anything is read. */
import type { KnownShape } from '../destinations/postgres/shapes.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { StreamSettings } from '../schemas/settings.ts';
import type { TableShape } from '../schemas/table.ts';
import type { StreamPlan } from './stream-plan.ts';

/** What was discovered once and is gone now is an error, not a reason to read another way in silence. */
export function requireKeyAndCursor(settings: StreamSettings, table: TableShape, known: KnownShape | null): void {
  if (known === null || known.mode !== settings.mode) return;
  const has = (name: string) => table.columns.some((column) => column.name === name);
  const lost = settings.key === null ? known.key.find((name) => !has(name)) : undefined;
  if (lost !== undefined || (settings.key === null && known.key.length > 0 && table.key.length === 0)) {
    throw new TidemarkError('source.key_missing', `The key of ${settings.name} (${known.key.join(', ')}) is gone at the source.`, { hint: 'Restore it, or name the columns that identify a row with key: [...] and apply.' });
  }
  if (settings.cursor === null && known.cursor !== null && !has(known.cursor)) {
    throw new TidemarkError('source.cursor_missing', `The cursor column ${known.cursor} of ${settings.name} is gone at the source.`, { hint: 'Restore it, or name another with cursor: ... and apply.' });
  }
}

/** Throws where another table stands under the name: what was read of the old one says nothing of its rows. */
export function lostHistory(plan: StreamPlan, known: KnownShape | null): void {
  const { identity } = plan.read.table;
  if (known === null || plan.strategy === 'rebuild' || known.identity === '' || identity === '' || known.identity === identity) return;
  throw new TidemarkError('source.history_lost', `The table of ${plan.stream} was dropped and made again since it was last read.`, { hint: `Nothing starts over by itself. Plan a rebuild with tidemark reset ${plan.source} --stream ${plan.stream}, or build the next generation at once: ${fullSync(plan)}.` });
}

export function frozen(plan: StreamPlan, what: string): TidemarkError {
  return new TidemarkError('run.schema_frozen', `The table of ${plan.stream} has changed and drift is freeze: ${what === '' ? 'its key is another one' : what}. Nothing was written.`, {
    hint: 'Let it through with tidemark plan and tidemark apply, or set drift: evolve and apply.',
  });
}

export function needsRebuild(plan: StreamPlan, what: string, known: KnownShape | null): TidemarkError {
  const changed = what === '' ? `its key was (${(known?.key ?? []).join(', ')}) and is (${plan.read.key.join(', ')})` : what;
  return new TidemarkError('source.schema_changed', `The table of ${plan.stream} has changed in a way that its target can't follow row by row: ${changed}.`, {
    hint: `Build the next generation beside the target: ${fullSync(plan)}, or approve it: tidemark plan, then tidemark apply --approve ID.`,
  });
}

const fullSync = (plan: StreamPlan): string => `tidemark sync ${plan.source} --stream ${plan.stream} --full`;
