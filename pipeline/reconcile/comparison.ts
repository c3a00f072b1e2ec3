/** What is compared of a stream, and by which hashes: the same for the first look and all later ones. */
import type { SourceSession, StreamRead } from '../../connectors/connector.ts';
import { columnsOf, DELETED_COLUMN, readProbe, type DigestTable } from '../../destinations/postgres/digest.ts';
import { SOURCE_ROWS } from '../../destinations/postgres/difference.ts';
import { formatTableName } from '../../destinations/postgres/identifiers.ts';
import type { RejectedKey } from '../../destinations/postgres/rejected-keys.ts';
import { inspectTable, type TableFacts, type TypedColumn } from '../../destinations/postgres/target.ts';
import type { DigestPlan } from '../../schemas/comparison.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { pastRow } from '../../destinations/postgres/retention.ts';
import { retentionOf } from '../retention-plan.ts';
import { deletedByItself } from '../deletes/target-deletes.ts';
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
  const tombstone = deletedByItself(plan);
  const past = pastOf(plan, changed);
  // What the target leaves out on purpose the source's hashes would hold.
  const withoutDeleted = tombstone !== null && plan.deletes?.apply === 'hard';
  const leavesOut = withoutDeleted || past !== null;
  const chosen = leavesOut ? null : await atSource(source, read, kept.map(({ name }) => typeOf(facts, name)), probe);
  const columns = chosen === null ? kept.map(({ name }) => ({ name, form: 'native' as const })) : columnsOf(chosen, new Map(names.map((name, i) => [name, kept[i]!.name])));
  const target: DigestTable = { table: plan.target, key: named, columns, algorithm: chosen?.algorithm ?? 'pg64', where: both(liveRows(facts, withoutDeleted ? null : tombstone), past) };
  return {
    plan,
    read,
    columns: kept,
    key: named.map((name) => ({ name, type: typeOf(facts, name) })),
    atSource: chosen,
    target,
    copied: { ...target, table: SOURCE_ROWS, where: both(withoutDeleted ? `not ${tombstone}` : null, past) },
    notCompared: plan.columns.filter((_, i) => changed.has(plan.read.columns[i]!)).map(({ name }) => name),
  };
}

function both(one: string | null, other: string | null): string | null {
  return one === null || other === null ? (one ?? other) : `(${one}) and ${other}`;
}

/** Rows that the stream keeps, at both ends by one clock; null: all. A masked age is told from the target's rows only. */
function pastOf(plan: StreamPlan, changed: ReadonlySet<string>): string | null {
  const retention = retentionOf(plan);
  if (retention === null) return null;
  const name = plan.read.columns[plan.columns.findIndex((column) => column.name === retention.column)]!;
  if (!changed.has(name)) return `(${pastRow(retention)}) is not true`;
  throw new TidemarkError('config.unsupported', `Stream ${plan.stream} keeps rows by the age of column ${name}, which it masks, so rows of its source that are past their time can't be told.`, { hint: 'Keep rows by a column without a mask to compare them.' });
}

/** Source names of columns whose target holds something else on purpose: masked, transformed, or set to NULL by a rule. */
export function changedColumns(plan: StreamPlan): string[] {
  const { transforms = [], rules = [] } = plan;
  const written = new Set([...transforms.map(({ name }) => name), ...rules.filter(({ otherwise }) => otherwise === 'null').map(({ column }) => column)]);
  const transformed = plan.read.columns.filter((_, i) => written.has(plan.columns[i]!.name));
  return [...new Set([...(plan.masks?.columns.map(({ name }) => name) ?? []), ...transformed])];
}

/** The key with the source's names of it. */
export function rejectedKeyOf({ key, read }: Comparison): RejectedKey[] {
  return key.map((column, i) => ({ ...column, sourceName: read.key[i] ?? column.name }));
}

/** A copy of these rows would have to pass masks, transforms or rules. */
export function isPlain(plan: StreamPlan): boolean {
  const { transforms = [], rules = [] } = plan;
  return transforms.length + rules.length + (plan.masks?.columns.length ?? 0) === 0;
}

async function atSource(source: SourceSession, read: StreamRead, targetTypes: readonly string[], probe: string): Promise<DigestPlan | null> {
  const chosen = (await source.comparison?.plan(read, targetTypes)) ?? null;
  return chosen !== null && chosen.algorithm === 'pg64' && chosen.probe !== probe ? null : chosen;
}

function typeOf(facts: TableFacts, name: string): string {
  return facts.columns.find((column) => column.name === name)?.type ?? 'text';
}

/** A row that was marked as deleted stands for one that the source no longer has, unless the row itself says that it is deleted. */
function liveRows(facts: TableFacts, tombstone: string | null): string | null {
  if (!facts.columns.some((column) => column.name === DELETED_COLUMN)) return null;
  return tombstone === null ? `t.${DELETED_COLUMN} is null` : `(t.${DELETED_COLUMN} is null or ${tombstone})`;
}
