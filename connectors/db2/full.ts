/** Whole tables: cut by key into parts, each read by a statement of its own. */
import type { BatchLimits, FullPlan, Part, RowRead, StreamRead } from '../connector.ts';
import { fullPosition } from './incremental.ts';
import { after, all, NO_CONDITION, upTo } from './range.ts';
import { columnNamed, keyProbe, readRequest } from './reads.ts';
import { texts, type Source } from './source.ts';

/** Beyond this many parts a plan costs more than it brings; the last part is then the rest. */
const PARTS_MAX = 10_000;
/** Some seconds of one session: two parts are read side by side, and the driver gives each no more than a core. */
const PART_ROWS_MAX = 250_000;

/** See `SourceSession.planFull`. The position is frozen before the first boundary is looked for. */
export async function planFull(source: Source, stream: StreamRead, limits: BatchLimits): Promise<FullPlan> {
  const taken = await fullPosition(source, stream);
  const key = stream.key.map((name) => columnNamed(stream, name));
  const rowsMax = Math.min(limits.rowsMax, PART_ROWS_MAX);
  const parts: Part[] = [];
  let from: readonly string[] | null = null;
  while (key.length > 0 && parts.length < PARTS_MAX) {
    const probe = keyProbe(source.dialect, stream, key, after(source.dialect, key, from), rowsMax - 1, 2);
    const found = await source.query(stream)(probe.sql, probe.params, 2);
    const last = found[0];
    if (found.length < 2 || last === undefined) break;
    const to = texts(source, stream, stream.key, last);
    parts.push({ from, to, rowEstimate: rowsMax });
    from = to;
  }
  parts.push({ from, to: null, rowEstimate: key.length === 0 ? stream.table.rowEstimate : rowsMax });
  return { parts, ...taken };
}

/** See `SourceSession.readPart`. */
export async function readPart(source: Source, stream: StreamRead, part: Part, onReject: 'mark' | 'fail' = 'mark'): Promise<RowRead> {
  const key = stream.key.map((name) => columnNamed(stream, name));
  const range = key.length === 0 ? NO_CONDITION : all(after(source.dialect, key, part.from), upTo(source.dialect, key, part.to));
  const rows = await source.read(stream, readRequest(source.dialect, stream, [range], [], undefined, onReject === 'mark'));
  return { format: 'copy-text', marksRejects: onReject === 'mark', stream: rows, rowsRead: () => rows.rowsRead() };
}
