import { connectSource, type Variables } from '../connectors/connect-source.ts';
import { NameService } from '../connectors/name-service.ts';
import { findManifest } from '../connectors/registry.ts';
import { findOpen } from '../destinations/postgres/approvals.ts';
import { listSources, listStreams, type CatalogSource } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { formatTableName } from '../destinations/postgres/identifiers.ts';
import { targetOf } from '../pipeline/stream-plan.ts';
import { reviewStream } from '../pipeline/stream-review.ts';
import { Places } from '../runtime/places.ts';
import { registerSecret } from '../runtime/secret-masking.ts';
import { TidemarkError, type ErrorInfo } from '../schemas/errors.ts';
import type { Settings, SourceSettings } from '../schemas/settings.ts';
import type { SourceSession } from '../connectors/connector.ts';
import { changeIds } from './change-ids.ts';
import type { Change, PlannedChange } from './planned-change.ts';
import { planDestruction } from './plan-destruction.ts';
import { settingsHash } from './drift.ts';
import { objectiveWarnings } from './freshness.ts';
import { describeSchedule } from './schedules.ts';
import { planWebhooks } from './webhooks.ts';

/** Sources that are inspected at once: a fleet with silent hosts is planned in one connection time-out or few, not in one for each. */
const INSPECTED_AT_ONCE = 128;
/** Of those that are reached and whose driver needs a process of its own, which takes its share of processor and memory. */
const PROCESSES_AT_ONCE = 8;
/** A host that is up takes a connection within a round trip or two; a lost first packet is sent again after a second. */
const REACHABLE_WITHIN_MS = 1_200;
/** A name service that is up answers within a round trip or two; resolvers ask again after five seconds only. */
const NAMED_WITHIN_MS = 800;
const CONNECT_TIMEOUT_MS = 5_000;

export type { PlannedChange } from './planned-change.ts';

export interface StreamRemark {
  readonly source: string;
  readonly stream: string;
  readonly message: string;
}

export interface SourcePlan {
  readonly settings: SourceSettings;
  readonly hash: string;
  /** Targets of its streams, in order. */
  readonly targets: readonly string[];
  readonly changes: readonly Change[];
  readonly warnings: readonly StreamRemark[];
  /** Streams whose settings do not fit their table or target; the others are not affected. */
  readonly problems: readonly (ErrorInfo & { readonly source: string; readonly stream: string })[];
}

export interface Plan {
  readonly sources: readonly SourcePlan[];
  /** Sources of the catalog that the file does not name any more. */
  readonly removed: readonly string[];
  /** Changes of who is told of events. */
  readonly webhooks?: readonly Change[];
}

export interface PlanOptions {
  readonly variables: Variables;
  readonly offline: boolean;
  readonly signal: AbortSignal;
}

interface Inspection extends PlanOptions {
  readonly names: NameService;
  readonly processes: Places;
}

/** Compares the file with the catalog, the sources' tables and the destination's. Changes nothing. */
export async function makePlan(settings: Settings, destination: Destination | null, options: PlanOptions): Promise<Plan> {
  const names = new NameService(options.variables);
  try {
    return await compare(settings, destination, { ...options, names, processes: new Places(PROCESSES_AT_ONCE) });
  } finally {
    names.close();
  }
}

async function compare(settings: Settings, destination: Destination | null, options: Inspection): Promise<Plan> {
  const known = destination === null ? [] : await destination.session('reading the catalog', listSources);
  const inspections = new Places(INSPECTED_AT_ONCE);
  const sources = await Promise.all(settings.sources.map((source) => inspections.run(() => planSource(source, known, destination, options))));
  const named = new Set(settings.sources.map((source) => source.id));
  const webhooks = await (destination === null ? planWebhooks(null, settings.events?.webhooks ?? []) : destination.session('reading the catalog', (session) => planWebhooks(session, settings.events?.webhooks ?? [])));
  return { sources, webhooks, removed: known.map((source) => source.settings.id).filter((id) => !named.has(id)) };
}

/** All changes of a plan in the order in which they are made, with the ids that `--approve` takes. */
export function listChanges(plan: Plan): PlannedChange[] {
  const removals: Change[] = plan.removed.map((source) => ({ action: 'remove_source', object: source, destructive: false, detail: 'its schedule goes, its targets and its ledger stay' }));
  const changes = [...plan.sources.flatMap((source) => source.changes), ...removals, ...(plan.webhooks ?? [])];
  const ids = changeIds(changes);
  return changes.map(({ action, object, destructive, detail }, i) => ({ id: ids[i]!, action, object, destructive, detail }));
}

async function planSource(settings: SourceSettings, known: readonly CatalogSource[], destination: Destination | null, options: Inspection): Promise<SourcePlan> {
  const before = known.find((source) => source.settings.id === settings.id);
  const hash = settingsHash(settings);
  const { capabilities } = await findManifest(settings.kind);
  const targets = settings.streams.map((stream) => formatTableName(targetOf(settings.id, stream, null, capabilities)));
  const changes = [...sourceChanges(settings, hash, before), ...scheduleChanges(settings, before)];
  // The source is connected to while the destination is looked at.
  const opening = destination === null || options.offline ? null : openSource(settings, options);
  try {
    const { destruction, rebuilt } = destination === null ? { destruction: [], rebuilt: [] } : await destinationChanges(settings, targets, destination);
    const opened = (await opening) ?? { failure: 'offline' };
    const inspected = destination === null || 'failure' in opened ? notInspected(settings, targets, 'failure' in opened ? opened.failure : 'offline') : await inspectStreams(settings, targets, opened.session, destination, rebuilt);
    return { settings, hash, ...inspected, warnings: [...objectiveWarnings(settings), ...inspected.warnings], changes: [...changes, ...destruction, ...inspected.changes] };
  } finally {
    await opening?.then((opened) => ('session' in opened ? opened.close() : undefined), () => undefined);
  }
}

/** `rebuilt`: streams that the next run builds from nothing, once that is approved or since it is already. */
async function destinationChanges(settings: SourceSettings, targets: readonly string[], destination: Destination): Promise<{ readonly destruction: readonly Change[]; readonly rebuilt: readonly string[] }> {
  return destination.session('looking at what would be rewritten', async (session) => {
    const known = await listStreams(session, settings.id);
    const destruction: Change[] = [];
    const rebuilt: string[] = [];
    for (const [i, now] of settings.streams.entries()) {
      const before = known.find((each) => each.stream === now.name);
      const changes = await planDestruction(session, { source: settings.id, before, now, target: now.target === null && before?.settings.target === null ? before.target : targets[i]! });
      destruction.push(...changes);
      const reset = await findOpen(session, { source: settings.id, stream: now.name, action: 'reset' });
      if (reset?.state === 'approved' || changes.some((change) => change.action === 'rebuild_target')) rebuilt.push(now.name);
    }
    return { destruction, rebuilt };
  });
}

function sourceChanges(settings: SourceSettings, hash: string, before: CatalogSource | undefined): Change[] {
  if (before?.hash === hash) return [];
  const detail = `${settings.kind}, ${settings.streams.length} ${settings.streams.length === 1 ? 'stream' : 'streams'}`;
  return [{ action: before === undefined ? 'add_source' : 'change_source', object: settings.id, destructive: false, detail }];
}

function scheduleChanges(settings: SourceSettings, before: CatalogSource | undefined): Change[] {
  const of = (source: SourceSettings | undefined, key: 'schedule' | 'reconcile'): string | null => (source?.enabled === true && source[key] !== undefined ? describeSchedule(source[key]) : null);
  return (['schedule', 'reconcile'] as const).flatMap((key) => {
    const [was, is] = [of(before?.settings, key), of(settings, key)];
    if (was === is) return [];
    const action = was === null ? 'create_schedule' : is === null ? 'remove_schedule' : 'change_schedule';
    return [{ action, object: settings.id, destructive: false, detail: `${key === 'reconcile' ? 'reconcile ' : ''}${is ?? `was ${was}`}` }];
  });
}

type Inspected = Pick<SourcePlan, 'targets' | 'changes' | 'warnings' | 'problems'>;

function notInspected(settings: SourceSettings, targets: readonly string[], why: string): Inspected {
  return { targets, changes: [], problems: [], warnings: settings.streams.map((stream) => ({ source: settings.id, stream: stream.name, message: `not inspected: ${why}` })) };
}

type Opened = { readonly session: SourceSession; close(): Promise<void> } | { readonly failure: string };

async function openSource(settings: SourceSettings, options: Inspection): Promise<Opened> {
  const reach = { nameWithinMs: NAMED_WITHIN_MS, withinMs: REACHABLE_WITHIN_MS, names: options.names };
  const { ownQueue } = (await findManifest(settings.kind)).capabilities;
  let leave = (): void => undefined;
  const whenReached = async (): Promise<void> => void (leave = ownQueue ? await options.processes.take() : leave);
  try {
    const session = await connectSource(settings, { ...options, onSecret: registerSecret, connectTimeoutMs: CONNECT_TIMEOUT_MS, reach, whenReached });
    return { session, close: () => session.close().finally(leave) };
  } catch (error) {
    leave();
    if (!(error instanceof TidemarkError)) throw error;
    return { failure: `${error.code}. ${error.message}` };
  }
}

async function inspectStreams(settings: SourceSettings, targets: readonly string[], source: SourceSession, destination: Destination, rebuilt: readonly string[]): Promise<Inspected> {
  const { capabilities } = await findManifest(settings.kind);
  const result = { targets: [...targets], changes: [] as Change[], warnings: [] as StreamRemark[], problems: [] as (ErrorInfo & { source: string; stream: string })[] };
  for (const [i, stream] of settings.streams.entries()) {
    if (!stream.enabled) continue;
    try {
      const table = await source.describe(stream.name, stream.types);
      const review = await destination.session('looking at a target', (session) => reviewStream(session, { source: settings.id, settings: stream, table, capabilities, full: rebuilt.includes(stream.name) }));
      result.targets[i] = formatTableName(review.plan.target);
      result.changes.push(...[...(review.acceptance === null ? [] : [review.acceptance]), ...review.changes].map((change) => ({ ...change, stream: stream.name })));
      result.warnings.push(...review.plan.notes.map((message) => ({ source: settings.id, stream: stream.name, message })));
    } catch (error) {
      result.problems.push({ ...infoOf(error), source: settings.id, stream: stream.name });
    }
  }
  return result;
}

/** A stream's own trouble is reported; the destination's or the network's ends the plan. */
function infoOf(error: unknown): ErrorInfo {
  if (error instanceof TidemarkError && error.retry === 'permanent') return error.info();
  throw error;
}

