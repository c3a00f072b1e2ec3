import type { IncrementalRead, SourceSession, StreamRead } from '../../connectors/connector.ts';
import type { ErrorCode } from '../../schemas/errors.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { Position } from '../../schemas/position.ts';
import { readRows } from './copy-text.ts';

export interface Run {
  /** First column of each batch's rows. */
  readonly batches: readonly (readonly string[])[];
  /** Position after each batch, through JSON as the destination keeps it. */
  readonly positions: readonly Position[];
  readonly position: Position;
  readonly last: IncrementalRead;
}

/** Reads a whole run in batches. */
export async function run(session: SourceSession, stream: StreamRead, from: Position | null, rowsMax: number): Promise<Run> {
  const batches: string[][] = [];
  const positions: Position[] = [];
  for (let position = from; ; ) {
    const read = await session.readFrom(stream, position, { rowsMax }, 'copy-text');
    const { rows } = await readRows(read, stream.columns.length);
    batches.push(rows.map((row) => row[0] ?? ''));
    position = JSON.parse(JSON.stringify(read.to)) as Position;
    positions.push(position);
    if (!read.more) return { batches, positions, position, last: read };
    if (batches.length > 1000) throw new Error('the run does not end');
  }
}

/** Rows of all parts of a full build. */
export async function readWhole(session: SourceSession, stream: StreamRead, rowsMax: number): Promise<readonly (readonly (string | null)[])[]> {
  const plan = await session.planFull(stream, { rowsMax });
  const all: (readonly (string | null)[])[] = [];
  for (const part of plan.parts) {
    const { rows, refused } = await readRows(await session.readPart(stream, part, 'copy-text'), stream.columns.length);
    if (refused.length > 0) throw new Error(`${refused.length} rows were refused`);
    all.push(...rows);
  }
  return all;
}

export async function codeOf(work: Promise<unknown>): Promise<ErrorCode | 'none' | 'other'> {
  return work.then(
    () => 'none' as const,
    (error: unknown) => (error instanceof TidemarkError ? error.code : 'other'),
  );
}
