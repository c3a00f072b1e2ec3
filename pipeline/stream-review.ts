/** What a stream's table, its settings and its target ask for, compared with what was known: decided in one place for `plan`, `apply` and the runs. */
import type { Capabilities } from '../connectors/connector.ts';
import { readPlan } from '../destinations/postgres/catalog.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import { formatTableName } from '../destinations/postgres/identifiers.ts';
import { acceptShape, readShape, type FollowedShape, type KnownShape, type RememberedShape } from '../destinations/postgres/shapes.ts';
import { canonicalTypes } from '../destinations/postgres/target.ts';
import type { TidemarkError } from '../schemas/errors.ts';
import type { StreamSettings } from '../schemas/settings.ts';
import type { TableShape } from '../schemas/table.ts';
import { frozen, lostHistory, needsRebuild, requireKeyAndCursor } from './drift-refusals.ts';
import { keptSettings, knownPart } from './kept-settings.ts';
import { compareShapes, describeDrift, knownColumns, NO_DRIFT, shapeFingerprint, type Drift } from './source-shape.ts';
import { makeStreamPlan, type StreamPlan } from './stream-plan.ts';
import { reviewTarget, type TargetChange } from './target-changes.ts';

export interface ReviewRequest {
  readonly source: string;
  readonly settings: StreamSettings;
  /** As the source describes it now. */
  readonly table: TableShape;
  readonly capabilities: Capabilities;
  /** A person wants the next generation built: it may have other types than the target. */
  readonly full: boolean;
}

export interface StreamReview {
  readonly plan: StreamPlan;
  readonly changes: readonly TargetChange[];
  /** Why nothing may be read or written before a person has decided; null: go on. */
  readonly refusal: TidemarkError | null;
  /** The change that lets it through; null where there is no refusal. */
  readonly acceptance: TargetChange | null;
  /** The target can only follow by its next generation. */
  readonly rebuild: boolean;
  readonly followed: FollowedShape;
}

/**
 * Compares without changing anything. Throws what no decision helps with: a key or cursor that is gone, another table under the same name, a target
 * that was altered by hand; each names the column or the table.
 */
export async function reviewStream(session: Session, request: ReviewRequest): Promise<StreamReview> {
  const { source, table, capabilities, full } = request;
  const name = request.settings.name;
  const remembered = await remember(session, source, name);
  const known = remembered.shape;
  const settings = keptSettings(request.settings, table, known, capabilities, full);
  requireKeyAndCursor(request.settings, table, known);
  const visible = knownPart(settings, table, known, capabilities);
  const drafted = makeStreamPlan(source, settings, visible, capabilities, known === null || full || known.mode !== settings.mode || known.cursor !== null);
  const plan: StreamPlan = { ...drafted, read: { ...drafted.read, table } };
  const drift = known === null ? NO_DRIFT : await compareShapes(known.columns, knownColumns(visible), (types) => canonicalTypes(session, types));
  if (!full) lostHistory(plan, known);
  const read = (column: { readonly name: string }) => plan.read.columns.includes(column.name);
  const changed = drift.changed.filter(({ to }) => read(to));
  const rekeyed = known !== null && isRekeyed(request.settings, known, plan);
  const narrowed = changed.filter((column) => !column.widens);
  const gone = drift.dropped.filter(({ targetName }) => known?.loaded.includes(targetName));
  // Of columns that are at the source and not read any more nothing new arrives: what the target holds of them would grow stale.
  const left = (known?.loaded ?? []).filter((name) => !plan.columns.some((column) => column.name === name) && table.columns.some(({ targetName }) => targetName === name));
  const target = await reviewTarget(session, plan, {
    rebuild: full || plan.strategy === 'rebuild',
    full,
    widened: changed.filter((column) => column.widens).map(({ to }) => to.targetName),
    narrowed: narrowed.map(({ to }) => to.targetName),
    rekeyed,
    loaded: known?.loaded ?? [],
    retired: [...(known?.retired.map((column) => column.name) ?? []), ...gone.map(({ targetName }) => targetName), ...left],
  });
  const fingerprint = shapeFingerprint(table);
  const told: Drift = { ...drift, added: drift.added.filter(read), dropped: gone, changed };
  const accepted = remembered.accepted === fingerprint;
  const isFrozen = settings.drift === 'freeze' && known !== null && known.fingerprint !== fingerprint;
  const refusal = accepted ? null : isFrozen ? frozen(plan, describeDrift(drift)) : (narrowed.length > 0 || rekeyed) && !full ? needsRebuild(plan, describeDrift({ ...NO_DRIFT, changed: narrowed }), known) : null;
  const shape: KnownShape = {
    identity: table.identity,
    fingerprint,
    columns: knownColumns(visible),
    key: plan.read.key,
    cursor: table.columns.find((column) => column.targetName === plan.cursor)?.name ?? null,
    mode: plan.mode,
    loaded: plan.columns.map((column) => column.name),
    retired: target.plan.retired ?? [],
  };
  const followed: FollowedShape = { shape, news: newsOf(target.plan, told, settings) };
  const rebuild = target.tooLarge || narrowed.length > 0 || rekeyed;
  return {
    plan: { ...target.plan, notes: [...target.plan.notes, ...retiredNotes(target.plan, settings)], ...(rebuild ? { pending: followed } : {}) },
    changes: target.changes,
    refusal,
    acceptance: refusal === null ? null : acceptanceOf(plan, refusal, describeDrift(isFrozen ? drift : { ...NO_DRIFT, changed: narrowed }), fingerprint, narrowed.length > 0 || rekeyed),
    rebuild,
    followed,
  };
}

/** What is known of the table, where rows of it were loaded; a plan that an earlier version kept tells it too. */
async function remember(session: Session, source: string, stream: string): Promise<RememberedShape> {
  const { rows } = await session.query<{ read: boolean }>('select exists (select from tidemark.watermark where source = $1 and stream = $2 and position is not null) as read', [source, stream]);
  if (!rows[0]!.read) return { shape: null, accepted: null };
  const remembered = await readShape(session, source, stream);
  if (remembered.shape !== null) return remembered;
  const plan = (await readPlan(session, source, stream)) as StreamPlan | null;
  return { ...remembered, shape: plan === null ? null : shapeOfPlan(plan) };
}

function shapeOfPlan(plan: StreamPlan): KnownShape {
  const { table, key } = plan.read;
  const cursor = table.columns.find((column) => column.targetName === plan.cursor)?.name ?? null;
  return { identity: table.identity, fingerprint: shapeFingerprint(table), columns: knownColumns(table), key, cursor, mode: plan.mode, loaded: plan.columns.map((column) => column.name), retired: [] };
}

/** The source's own key is another one now; a key that the file names is the user's choice. */
function isRekeyed(settings: StreamSettings, known: KnownShape, plan: StreamPlan): boolean {
  if (settings.key !== null || known.mode !== plan.mode || known.key.length === 0) return false;
  return known.key.length !== plan.read.key.length || known.key.some((name) => !plan.read.key.includes(name));
}

function newsOf(plan: StreamPlan, drift: Drift, settings: StreamSettings): Readonly<Record<string, unknown>> | null {
  const dropped = settings.drift === 'ignore' ? [] : drift.dropped;
  if (drift.added.length + dropped.length + drift.changed.length === 0) return null;
  return {
    target: formatTableName(plan.target),
    added: drift.added.map((column) => ({ column: column.name, type: column.nativeType })),
    dropped: dropped.map((column) => ({ column: column.name, type: column.nativeType })),
    changed: drift.changed.map(({ from, to }) => ({ column: to.name, from: from.nativeType, to: to.nativeType })),
  };
}

function retiredNotes(plan: StreamPlan, settings: StreamSettings): string[] {
  const isThere = ({ name }: { readonly name: string }) => plan.read.table.columns.some(({ targetName }) => targetName === name);
  return (plan.retired ?? [])
    .filter((column) => settings.drift !== 'ignore' || isThere(column))
    .map((column) => `column ${column.name} is ${isThere(column) ? 'not read any more' : 'gone at the source'}: it stays in the target and is filled with NULL`);
}

function acceptanceOf(plan: StreamPlan, refusal: TidemarkError, what: string, fingerprint: string, destructive: boolean): TargetChange {
  return {
    action: destructive ? 'alter_column' : 'accept_schema',
    object: formatTableName(plan.target),
    destructive,
    detail: destructive ? `${what === '' ? refusal.message : what}: the next run builds a new generation beside the target` : what,
    make: (session) => acceptShape(session, plan.source, plan.stream, fingerprint),
  };
}
