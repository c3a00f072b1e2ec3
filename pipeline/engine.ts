import type { SourceSession } from '../connectors/connector.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { readPlan } from '../destinations/postgres/catalog.ts';
import { streamWords } from '../schemas/command-words.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { NO_MASKS } from './masks/masked-columns.ts';
import { parseMaskKey, type MaskKeys } from './masks/mask-key.ts';
import { positionSeal, type PositionSeal } from './masks/sealed-position.ts';
import type { StreamPlan } from './stream-plan.ts';

/** Which of a source's connections may be used. A sync may read from the fallback; whatever may act on rows that a replica does not have yet may not. */
export type SourceUse = 'sync' | 'primary only';

/** A session on one of the connections of a source. */
export interface OpenedSource extends SourceSession {
  /** Absent: the primary. */
  readonly connection?: 'primary' | 'fallback';
  /** Told of the error that ended its use, for the source's breaker; returns the error to go on with. */
  failed?(error: unknown): Promise<unknown>;
}

/** What the steps of the pipeline work with; wired by a worker, or by a test. */
export interface Engine {
  readonly destination: Destination;
  /**
   * Opens a session on a source by its id, with its settings as applied and its secrets as the environment has them now. The caller closes it.
   * Throws `source.breaker_open` at once, without a connection, where the source could not be reached of late. Default use: `primary only`.
   * With the name of a stream, that stream's own limits hold too.
   */
  openSource(sourceId: string, signal: AbortSignal, use?: SourceUse, stream?: string): Promise<OpenedSource>;
  /** {@link openSource} for one more session of a stream's sync. Throws `source.sessions_busy` at once where none is free, or somebody waits for one. */
  openSpareSource(sourceId: string, signal: AbortSignal, stream: string): Promise<OpenedSource>;
  /** The texts of a source's mask keys by name, as the worker's environment and files have them now; undefined for one that is not there. */
  readKeys(sourceId: string): Promise<ReadonlyMap<string, string | undefined>>;
  /** Rows that commit together at most; a stream's own setting may be lower. */
  readonly batchRowsMax: number;
  /** A range with more rows than commit together is not begun: an extract throws `source.batch_overfull` before it copies any. Default: it takes the first of them. */
  readonly wholeRangesOnly?: boolean;
  /** Rows, about, of a batch that another is copied beside. */
  readonly sideRows: number;
}

/** Told how far a step got, at most once for each chunk of rows. `garbage`: how many of the bytes came in memory that is not used again. */
export type OnProgress = (progress: { readonly bytes: number; readonly garbage: number }) => void;

/** The plan made at the start of the run. */
export async function loadPlan(engine: Engine, source: string, stream: string): Promise<StreamPlan> {
  const plan = await engine.destination.session('reading a plan', (session) => readPlan(session, source, stream));
  if (plan === null) throw new TidemarkError('run.not_applied', `Stream ${stream} of ${source} has not been loaded yet.`, { hint: `Run tidemark sync ${streamWords({ source, stream })}: it loads the whole table.` });
  return plan as StreamPlan;
}

/** The keys that the plan's masks name. Throws `config.key_missing` for one that is absent, short or all one byte. */
export async function loadKeys(engine: Engine, plan: Pick<StreamPlan, 'source' | 'masks'>): Promise<MaskKeys> {
  const names = new Set((plan.masks ?? NO_MASKS).columns.flatMap(({ mask }) => ('key' in mask ? [mask.key] : [])));
  if (names.size === 0) return new Map();
  const texts = await engine.readKeys(plan.source);
  return new Map([...names].map((name) => [name, parseMaskKey(name, texts.get(name))]));
}

/** How the plan's positions and parts are stored. Throws like {@link loadKeys}. */
export async function loadSeal(engine: Engine, plan: StreamPlan): Promise<PositionSeal> {
  return positionSeal(plan.masks ?? NO_MASKS, plan, await loadKeys(engine, plan));
}

/**
 * Runs `work` with one more session on the source and closes it. False where there was none to be had, for whatever reason: nobody is owed a second one.
 * `work` throws nothing.
 */
export async function withSpareSource(engine: Engine, { source, stream }: { readonly source: string; readonly stream: string }, signal: AbortSignal, work: (source: SourceSession) => Promise<void>): Promise<boolean> {
  const spare = await engine.openSpareSource(source, signal, stream).catch(() => null);
  if (spare === null) return false;
  await work(spare).finally(() => spare.close());
  return true;
}

/** Runs `work` with a session on the source, for one stream or for several, and closes it whatever happens. */
export async function withSource<T>(engine: Engine, owner: string | { readonly source: string; readonly stream: string }, signal: AbortSignal, work: (source: OpenedSource) => Promise<T>, use: SourceUse = 'primary only'): Promise<T> {
  const source = typeof owner === 'string' ? await engine.openSource(owner, signal, use) : await engine.openSource(owner.source, signal, use, owner.stream);
  try {
    return await work(source);
  } catch (error) {
    throw source.failed === undefined ? error : await source.failed(error);
  } finally {
    await source.close();
  }
}
