import type { Client } from '@temporalio/client';
import { listSources, listStreams, removeSource, saveSource } from '../destinations/postgres/catalog.ts';
import type { Destination, Session } from '../destinations/postgres/destination.ts';
import { listChanges, type Plan, type PlannedChange, type SourcePlan } from './plan.ts';
import { settingsHash } from './drift.ts';
import { putSchedules, removeSchedules } from './schedules.ts';

/** Two `apply` at once take turns; any constant of ours will do. */
const APPLY_LOCK = 7_310_577_002;

export interface Applied {
  readonly applied: readonly string[];
  /** Ids of destructive changes that were not approved. */
  readonly refused: readonly string[];
  /** Ids of other changes of a stream that goes on under its settings as applied, until what was refused is approved. */
  readonly held: readonly string[];
}

/**
 * Carries a plan out: catalog and targets of each source in one transaction, then its schedule. Idempotent: what was done is
 * planned no more. A destructive change is made only if its id is among the approved; where it comes from a stream's settings, that stream keeps
 * those it has, and its neighbours go on.
 */
export async function applyPlan(plan: Plan, destination: Destination, client: Client, approved: readonly string[]): Promise<Applied> {
  const changes = listChanges(plan);
  const refused = new Set(changes.filter((change) => change.destructive && !approved.includes(change.id)).map((change) => change.id));
  const held = new Set<string>();
  let next = 0;
  for (const source of plan.sources) {
    const ids = changes.slice(next, (next += source.changes.length));
    await destination.transaction('applying a source', (session) => applySource(session, source, ids, refused, held));
  }
  for (const source of plan.removed) {
    // First the schedule: what is interrupted here is still in the catalog, and planned again.
    await removeSchedules(client, source);
    await destination.transaction('removing a source', (session) => removeSource(session, source));
  }
  await destination.transaction('applying webhooks', async (session) => {
    for (const webhook of plan.webhooks ?? []) await webhook.make?.(session);
  });
  await applySchedules(plan, destination, client);
  return { applied: changes.map((change) => change.id).filter((id) => !refused.has(id) && !held.has(id)), refused: [...refused], held: [...held] };
}

async function applySource(session: Session, source: SourcePlan, ids: readonly PlannedChange[], refused: ReadonlySet<string>, held: Set<string>): Promise<void> {
  await session.query('select pg_advisory_xact_lock($1)', [APPLY_LOCK]);
  const waits = new Set(source.changes.filter((change, i) => change.holds === true && refused.has(ids[i]!.id)).map((change) => change.stream));
  const saved = await withHeld(session, source, waits);
  await saveSource(session, saved.settings, saved.hash, saved.targets);
  for (const [i, change] of source.changes.entries()) {
    const { id } = ids[i]!;
    if (refused.has(id)) continue;
    if (change.stream !== undefined && waits.has(change.stream)) held.add(id);
    else await change.make?.(session);
  }
}

/** The source with the streams that wait for an approval as they were applied. One that is new to the catalog keeps all its rows. */
async function withHeld(session: Session, source: SourcePlan, waits: ReadonlySet<string | undefined>): Promise<Pick<SourcePlan, 'settings' | 'hash' | 'targets'>> {
  if (waits.size === 0) return source;
  const known = await listStreams(session, source.settings.id);
  const before = source.settings.streams.map((stream) => (waits.has(stream.name) ? (known.find((each) => each.stream === stream.name) ?? null) : undefined));
  const streams = source.settings.streams.map((stream, i) => (before[i] === undefined ? stream : (before[i]?.settings ?? { ...stream, retention: null })));
  const settings = { ...source.settings, streams };
  return { settings, hash: settingsHash(settings), targets: source.targets.map((target, i) => before[i]?.target ?? target) };
}

/** Schedules follow the catalog, whatever a run before this one left undone. */
async function applySchedules(plan: Plan, destination: Destination, client: Client): Promise<void> {
  const known = await destination.session('reading the catalog', listSources);
  for (const source of plan.sources) await putSchedules(client, source.settings, known.find((each) => each.settings.id === source.settings.id)?.paused ?? false);
}
