/** What is compared of a stream, and by which hashes: the same for the first look and all later ones. */
import type { SourceSession, StreamRead } from '../../connectors/connector.ts';
import { columnsOf, DELETED_COLUMN, readProbe, type DigestTable } from '../../destinations/postgres/digest.ts';
import { SOURCE_ROWS } from '../../destinations/postgres/difference.ts';
import { formatTableName } from '../../destinations/postgres/identifiers.ts';
import { inspectTable, type TableFacts, type TypedColumn } from '../../destinations/postgres/target.ts';
import type { DigestPlan } from '../../schemas/comparison.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Engine } from '../engine.ts';
import type { StreamPlan } from '../stream-plan.ts';

export interface Comparison {
  readonly plan: StreamPlan;
  /** The stream with the compared columns only: what the source reads for a comparison. */
  readonly read: StreamRead;
  /** Target columns in the order of `read.columns`, with the source's types. */
  readonly columns: readonly TypedColumn[];
  /** Key columns of the target with their types; empty where rows can't be named. */
  readonly key: readonly TypedColumn[];
  /** How the source hashes; null: its rows are copied into the destination and hashed there. */
  readonly atSource: DigestPlan | null;
  readonly target: DigestTable;
  /** Rows of the source once they are in {@link SOURCE_ROWS}, hashed as the target's are. */
  readonly copied: DigestTable;
  readonly notCompared: readonly string[];
}

/** Throws `run.incomplete` where there is no target yet. */
export async function planComparison(engine: Engine, source: SourceSession, plan: StreamPlan): Promise<Comparison> {
  const { facts, probe } = await engine.destination.session('looking at a target', async (session) => ({ facts: await inspectTable(session, plan.target), probe: await readProbe(session) }));
  if (facts === null) throw new TidemarkError('run.incomplete', `There is no target ${formatTableName(plan.target)} to compare with.`, { hint: `Run tidemark sync ${plan.source} first.` });
  const changed = new Set(changedColumns(plan));
  const kept = plan.columns.filter((_, i) => !changed.has(plan.read.columns[i]!));
  const names = plan.read.columns.filter((name) => !changed.has(name));
  const named = plan.read.key.some((name) => changed.has(name)) ? [] : plan.key;
  const read: StreamRead = { ...plan.read, columns: names, key: named.length === 0 ? [] : plan.read.key };
  const chosen = await atSource(source, read, kept.map(({ name }) => typeOf(facts, name)), probe);
  const columns = chosen === null ? kept.map(({ name }) => ({ name, form: 'native' as const })) : columnsOf(chosen, new Map(names.map((name, i) => [name, kept[i]!.name])));
  const target: DigestTable = { table: plan.target, key: named, columns, algorithm: chosen?.algorithm ?? 'pg64', where: liveRows(facts) };
  return {
    plan,
    read,
    columns: kept,
    key: named.map((name) => ({ name, type: typeOf(facts, name) })),
    atSource: chosen,
    target,
    copied: { ...target, table: SOURCE_ROWS, where: null },
    notCompared: plan.columns.filter((_, i) => changed.has(plan.read.columns[i]!)).map(({ name }) => name),
  };
}

/** Source names of columns whose target holds something else on purpose: masked or transformed. */
export function changedColumns(plan: StreamPlan): string[] {
  const { transforms = [] } = plan as StreamPlan & Checks;
  const transformed = plan.read.columns.filter((_, i) => transforms.some(({ name }) => name === plan.columns[i]!.name));
  return [...new Set([...(plan.masks?.columns.map(({ name }) => name) ?? []), ...transformed])];
}

/** What is done to rows between source and target, where the plan says so. */
interface Checks {
  readonly transforms?: readonly { readonly name: string }[];
  readonly rules?: readonly unknown[];
}

/** A copy of these rows would have to pass masks, transforms or rules. */
export function isPlain(plan: StreamPlan): boolean {
  const { transforms = [], rules = [] } = plan as StreamPlan & Checks;
  return transforms.length + rules.length + (plan.masks?.columns.length ?? 0) === 0;
}

async function atSource(source: SourceSession, read: StreamRead, targetTypes: readonly string[], probe: string): Promise<DigestPlan | null> {
  const chosen = (await source.comparison?.plan(read, targetTypes)) ?? null;
  return chosen !== null && chosen.algorithm === 'pg64' && chosen.probe !== probe ? null : chosen;
}

function typeOf(facts: TableFacts, name: string): string {
  return facts.columns.find((column) => column.name === name)?.type ?? 'text';
}

/** A row that was marked as deleted stands for one that the source no longer has. */
function liveRows(facts: TableFacts): string | null {
  return facts.columns.some((column) => column.name === DELETED_COLUMN) ? `t.${DELETED_COLUMN} is null` : null;
}
