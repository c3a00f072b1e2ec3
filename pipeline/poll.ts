import type { SourceSession } from '../connectors/connector.ts';
import { RETENTION_DUE } from '../destinations/postgres/retention.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Position } from '../schemas/position.ts';
import { loadSeal, type Engine } from './engine.ts';
import { shapeFingerprint } from './source-shape.ts';
import type { StreamPlan } from './stream-plan.ts';

interface PolledStream {
  readonly stream: string;
  readonly plan: StreamPlan | null;
  readonly position: Position | null;
  /** Choices of types in the stream's settings. */
  readonly types: Readonly<Record<string, string>> | null;
  /** Of the source's table as the stream follows it; null where that is not known. */
  readonly fingerprint: string | null;
  /** A build was interrupted, a person has approved something that is still to be done, rows may be past their time, or the target is gone. */
  readonly unfinished: boolean;
}

/** Loads what a poll needs of all streams in one question to the destination. */
async function readStates(engine: Engine, source: string, streams: readonly string[]): Promise<PolledStream[]> {
  return engine.destination.session('reading watermarks', async (session) => {
    const { rows } = await session.query<PolledStream>(
      `select s.stream, s.plan, w.position, s.settings->'types' as types, s.shape->>'fingerprint' as fingerprint, s.accepted_shape is not null or exists (select from tidemark.generation g where g.source = s.source and g.stream = s.stream and g.state = 'building')
           and not exists (select from tidemark.approval a where a.source = s.source and a.stream = s.stream and a.action = 'swap' and a.state = 'pending')
         or exists (select from tidemark.approval a where a.source = s.source and a.stream = s.stream and a.state = 'approved')
         or ${RETENTION_DUE}
         or not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname || '.' || c.relname = s.target) as unfinished
       from tidemark.stream s left join tidemark.watermark w on w.source = s.source and w.stream = s.stream where s.source = $1 and s.stream = any($2) order by s.ordinal`,
      [source, streams],
    );
    return rows;
  });
}

/**
 * Asks the source the cheap question for each stream and returns those that may have something new. A stream that was never
 * read, whose build was interrupted or whose question fails for a reason of its own is among them: its sync finds out and says so. `shapes`: so is one
 * whose table was altered, though no row of it is new.
 * Throws only what concerns the source as a whole.
 */
export async function pollStreams(engine: Engine, source: SourceSession, sourceId: string, streams: readonly string[], shapes: boolean): Promise<string[]> {
  const changed: string[] = [];
  for (const state of await readStates(engine, sourceId, streams)) {
    if (state.plan === null || state.position === null || state.unfinished || (await mayHaveNews(engine, source, state.plan, state.position)) || (shapes && (await isAltered(source, state)))) changed.push(state.stream);
  }
  return changed;
}

async function isAltered(source: SourceSession, { stream, types, fingerprint }: PolledStream): Promise<boolean> {
  if (fingerprint === null) return false;
  try {
    return shapeFingerprint(await source.describe(stream, types ?? {})) !== fingerprint;
  } catch (error) {
    if (error instanceof TidemarkError && error.retry === 'permanent') return true;
    throw error;
  }
}

async function mayHaveNews(engine: Engine, source: SourceSession, plan: StreamPlan, position: Position): Promise<boolean> {
  try {
    const seal = await loadSeal(engine, plan);
    return await source.poll(plan.read, seal.openPosition(position));
  } catch (error) {
    if (error instanceof TidemarkError && (error.retry === 'permanent' || error.code === 'source.statement_timeout')) return true;
    throw error;
  }
}
