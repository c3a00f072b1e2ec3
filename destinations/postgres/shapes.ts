/** What is remembered of a source's table between runs, apart from the plan: a change of the settings makes a new plan but forgets nothing of this. */
import type { Session } from './session.ts';
import type { TypedColumn } from './target.ts';

export interface KnownColumn {
  readonly name: string;
  readonly targetName: string;
  readonly nativeType: string;
  readonly pgType: string;
  readonly nullable: boolean;
}

/** The source's table as the stream was last read by it. */
export interface KnownShape {
  readonly identity: string;
  /** Of the whole table as last seen; columns that the stream ignores count. */
  readonly fingerprint: string;
  /** Columns that the stream knows: with `drift: ignore` those of its beginning. */
  readonly columns: readonly KnownColumn[];
  /** Names at the source. */
  readonly key: readonly string[];
  /** Null where the stream found none. */
  readonly cursor: string | null;
  readonly mode: string;
  /** Columns of the target that are filled from the source. */
  readonly loaded: readonly string[];
  /** Columns of the target whose column at the source is gone: filled with NULL. */
  readonly retired: readonly TypedColumn[];
}

/** What is remembered and told once the target follows the table. */
export interface FollowedShape {
  readonly shape: KnownShape;
  /** Data of the event `SchemaChanged`; null where there is nothing to tell. */
  readonly news: Readonly<Record<string, unknown>> | null;
}

export interface RememberedShape {
  readonly shape: KnownShape | null;
  /** Fingerprint of the table that a person has let through. */
  readonly accepted: string | null;
}

export async function readShape(session: Session, source: string, stream: string): Promise<RememberedShape> {
  const { rows } = await session.query<RememberedShape>('select shape, accepted_shape as accepted from tidemark.stream where source = $1 and stream = $2', [source, stream]);
  return rows[0] ?? { shape: null, accepted: null };
}

/** In the transaction that makes the target follow it. What a person had let through is used up. */
export async function saveShape(session: Session, source: string, stream: string, shape: KnownShape): Promise<void> {
  await session.query('update tidemark.stream set shape = $3, accepted_shape = null where source = $1 and stream = $2', [source, stream, JSON.stringify(shape)]);
}

/** Lets the next run follow the table of this fingerprint, and un-parks a stream that waits for that. */
export async function acceptShape(session: Session, source: string, stream: string, fingerprint: string): Promise<void> {
  await session.query(
    `update tidemark.stream set accepted_shape = $3, parked = case when parked->>'code' in ('run.schema_frozen', 'source.schema_changed') then null else parked end
     where source = $1 and stream = $2`,
    [source, stream, fingerprint],
  );
}
