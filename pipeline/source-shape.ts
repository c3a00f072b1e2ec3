/** How a source's table is compared with what was known of it. */
import { createHash } from 'node:crypto';
import type { SourceSession } from '../connectors/connector.ts';
import type { KnownColumn } from '../destinations/postgres/shapes.ts';
import { fitsLosslessly } from '../destinations/postgres/type-fit.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { TableShape } from '../schemas/table.ts';
import type { StreamPlan } from './stream-plan.ts';

export interface ChangedColumn {
  readonly from: KnownColumn;
  readonly to: KnownColumn;
  /** Every value of the old type is one of the new. */
  readonly widens: boolean;
}

export interface Drift {
  readonly added: readonly KnownColumn[];
  readonly dropped: readonly KnownColumn[];
  readonly changed: readonly ChangedColumn[];
  /** Columns that may be NULL now and could not before, or the other way round. */
  readonly nullability: readonly KnownColumn[];
}

/** Prints PostgreSQL types as the destination does. */
export type Canonical = (types: readonly string[]) => Promise<string[]>;

export function knownColumns(table: TableShape): KnownColumn[] {
  return table.columns.map(({ name, targetName, nativeType, pgType, nullable }) => ({ name, targetName, nativeType, pgType, nullable }));
}

/** Same fingerprint: rows can be read by the same plan. Statistics and indexes beside the key do not count. */
export function shapeFingerprint(table: TableShape): string {
  const columns = table.columns.map(({ name, nativeType, nullable }) => [name, nativeType, nullable]);
  return createHash('sha256').update(JSON.stringify([columns, table.key])).digest('hex');
}

export const NO_DRIFT: Drift = { added: [], dropped: [], changed: [], nullability: [] };

/** A renamed column is a drop and an add: nothing at the source tells the two apart. */
export async function compareShapes(before: readonly KnownColumn[], now: readonly KnownColumn[], canonical: Canonical): Promise<Drift> {
  const pairs = before.flatMap((from) => {
    const to = now.find(({ name }) => name === from.name);
    return to === undefined ? [] : [{ from, to }];
  });
  const retyped = pairs.filter(({ from, to }) => from.nativeType !== to.nativeType);
  const types = await canonical(retyped.flatMap(({ from, to }) => [from.pgType, to.pgType]));
  return {
    added: now.filter(({ name }) => !before.some((known) => known.name === name)),
    dropped: before.filter(({ name }) => !now.some((known) => known.name === name)),
    changed: retyped.map(({ from, to }, at) => ({ from, to, widens: fitsLosslessly(types[2 * at]!, types[2 * at + 1]!) })),
    nullability: pairs.filter(({ from, to }) => from.nullable !== to.nullable).map(({ to }) => to),
  };
}

/** One clause for each difference: names and types, no values. */
export function describeDrift(drift: Drift): string {
  return [
    ...drift.added.map(({ name, nativeType }) => `${name} (${nativeType}) is new`),
    ...drift.dropped.map(({ name }) => `${name} is gone`),
    ...drift.changed.map(({ from, to }) => `${from.name} was ${from.nativeType} and is ${to.nativeType}`),
    ...drift.nullability.map(({ name, nullable }) => `${name} ${nullable ? 'may be NULL now' : 'is NOT NULL now'}`),
  ].join(', ');
}

/**
 * Asked after the rows of a batch have been read and before it is committed: what was read by a plan that the table has outgrown, a value rounded
 * to the old scale for example, must not count. Throws `source.schema_changed`, or what {@link SourceSession.describe} says of the table.
 */
export async function requireSameShape(source: SourceSession, plan: StreamPlan): Promise<void> {
  const { table, types } = plan.read;
  const now = await source.describe(plan.stream, types);
  if (shapeFingerprint(now) === shapeFingerprint(table) && now.identity === table.identity) return;
  throw new TidemarkError('source.schema_changed', `The table of ${plan.stream} was altered while it was read; nothing of the batch was committed.`, {
    hint: 'The next run reads it by its new shape: run tidemark sync.',
  });
}
