import type { Client } from '@temporalio/client';
import { listSources, removeSource, saveSource } from '../destinations/postgres/catalog.ts';
import type { Destination, Session } from '../destinations/postgres/destination.ts';
import { listChanges, type Plan, type PlannedChange, type SourcePlan } from './plan.ts';
import { putSchedule, removeSchedule } from './schedules.ts';

/** Two `apply` at once take turns; any constant of ours will do. */
const APPLY_LOCK = 7_310_577_002;

export interface Applied {
  readonly applied: readonly string[];
  /** Ids of destructive changes that were not approved. */
  readonly refused: readonly string[];
}

/**
 * Carries a plan out: catalog and targets of each source in one transaction, then its schedule. Idempotent: what was done is
 * planned no more. A destructive change is made only if its id is among the approved.
 */
export async function applyPlan(plan: Plan, destination: Destination, client: Client, approved: readonly string[]): Promise<Applied> {
  const changes = listChanges(plan);
  const refused = new Set(changes.filter((change) => change.destructive && !approved.includes(change.id)).map((change) => change.id));
  let next = 0;
  for (const source of plan.sources) {
    const ids = changes.slice(next, (next += source.changes.length));
    await destination.transaction('applying a source', (session) => applySource(session, source, ids, refused));
  }
  for (const source of plan.removed) {
    // First the schedule: what is interrupted here is still in the catalog, and planned again.
    await removeSchedule(client, source);
    await destination.session('removing a source', (session) => removeSource(session, source));
  }
  await applySchedules(plan, destination, client);
  return { applied: changes.map((change) => change.id).filter((id) => !refused.has(id)), refused: [...refused] };
}

async function applySource(session: Session, source: SourcePlan, ids: readonly PlannedChange[], refused: ReadonlySet<string>): Promise<void> {
  await destination.transaction('applying webhooks', async (session) => {
    for (const webhook of plan.webhooks ?? []) await webhook.make?.(session);
  });
  await session.query('select pg_advisory_xact_lock($1)', [APPLY_LOCK]);
  await saveSource(session, source.settings, source.hash, source.targets);
  for (const [i, change] of source.changes.entries()) {
    if (!refused.has(ids[i]!.id)) await change.make?.(session);
  }
}

/** Schedules follow the catalog, whatever a run before this one left undone. */
async function applySchedules(plan: Plan, destination: Destination, client: Client): Promise<void> {
  const known = await destination.session('reading the catalog', listSources);
  for (const source of plan.sources) await putSchedule(client, source.settings, known.find((each) => each.settings.id === source.settings.id)?.paused ?? false);
}
