/** What a position of this connector holds, and how far back the next run has to reach. */
import { z } from 'zod';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';
import type { TableShape } from '../../schemas/table.ts';
import { isSameServer, serverText, type ServerIdentity } from './identity.ts';

/** A transaction that begins after `scn` (and a statement that begins after `clock`) writes no cursor value below `bound`. */
const tidePointSchema = z.strictObject({
  scn: z.string().nullable(),
  /** ISO 8601 UTC, microseconds. */
  clock: z.string(),
  /** Null: before the first row. */
  bound: z.string().nullable(),
});

export type TidePoint = z.infer<typeof tidePointSchema>;

const stateSchema = z.strictObject({
  v: z.literal(1),
  /** SCN and incarnation before the run's snapshot; null without the privilege to see them. */
  scn: z.string().nullable(),
  resetlogs: z.string().nullable(),
  /** Upper bound, frozen for the run. */
  bound: z.string().nullable(),
  /** Where the next run begins, inclusive; null: before the first row. */
  lower: z.string().nullable(),
  /** Cursor and key of the last row of the run's batches so far; absent when the run is complete. */
  at: z.array(z.string()).optional(),
  /** Oldest first. */
  trail: z.array(tidePointSchema),
  /** Rows of a table without cursor. */
  rows: z.string().optional(),
});

export type OracleState = z.infer<typeof stateSchema>;

export function makePosition(server: ServerIdentity, table: TableShape, display: string | null, state: OracleState): Position {
  return { server: serverText(server), table: table.identity, display, state };
}

/**
 * The state of a position. Throws `source.history_lost` where it was taken on another server or table, or where the server has
 * been set back to a moment before it.
 */
export function stateOf(position: Position, server: ServerIdentity, table: TableShape): OracleState {
  const name = `${table.schema}.${table.name}`;
  if (!isSameServer(position.server, serverText(server))) throw lost(name, 'the position was taken on another server');
  if (position.table !== table.identity) throw lost(name, 'the table was dropped and made again');
  const parsed = stateSchema.safeParse(position.state);
  if (!parsed.success) throw lost(name, 'the position was not written by this connector');
  const { scn, resetlogs } = parsed.data;
  if (scn !== null && server.scn !== null && BigInt(scn) > BigInt(server.scn)) throw lost(name, 'the server has been set back to an earlier moment');
  const otherIncarnation = resetlogs !== null && server.resetlogs !== null && resetlogs !== server.resetlogs;
  if (scn !== null && otherIncarnation && BigInt(server.resetlogs ?? '0') <= BigInt(scn)) throw lost(name, 'the server was opened with RESETLOGS at a moment before it');
  return parsed.data;
}

function lost(table: string, reason: string): TidemarkError {
  return new TidemarkError('source.history_lost', `Table ${table}: what changed since the last run can't be told: ${reason}.`, { hint: 'Plan a rebuild: `tidemark reset`, then sync.' });
}

/** What was under way at the source just before a snapshot was taken. */
export interface UnderWay {
  /** SCN at which the oldest open transaction began; null: none was open. */
  readonly oldestScn: string | null;
  /** Before this moment no statement that is still running began; null: none that writes was running outside of a transaction. */
  readonly oldestClock: string | null;
}

/** The newest point of the trail that lies before all that was under way; null: none does, read from the first row. */
export function reachBack(trail: readonly TidePoint[], underWay: UnderWay): TidePoint | null {
  const { oldestScn, oldestClock } = underWay;
  const precedes = (point: TidePoint): boolean =>
    (oldestScn === null || (point.scn !== null && BigInt(point.scn) <= BigInt(oldestScn))) && (oldestClock === null || point.clock <= oldestClock);
  return trail.findLast(precedes) ?? null;
}

const TRAIL_POINTS_MAX = 32;

/**
 * Adds a point. Ages at least double from one kept point to the one before it, so that some point lies at most about twice as
 * far back as needed and 32 of them cover years.
 */
export function extendTrail(trail: readonly TidePoint[], point: TidePoint): readonly TidePoint[] {
  const now = Date.parse(point.clock);
  const age = (each: TidePoint): number => now - Date.parse(each.clock);
  const kept: TidePoint[] = [point];
  const older = trail.toReversed();
  older.forEach((each, index) => {
    const next = older[index + 1];
    const spaced = kept.length === 1 || next === undefined || age(next) > 2 * age(kept.at(-1) as TidePoint);
    if (spaced) kept.push(each);
  });
  return kept.slice(0, TRAIL_POINTS_MAX).reverse();
}
