/**
 * What can be known of a file without asking a database, beyond the form of single values. The checks read the tree as it stands,
 * so that a problem elsewhere hides none of theirs.
 */
import type { ConnectorRegistry } from '../../connectors/registry.ts';
import type { Path } from '../../schemas/config-coercion.ts';
import type { ErrorCode } from '../../schemas/errors.ts';
import { isGroup, sourceEntries, streamEntries, valueAt, type Entry, type Spelling } from './file-shape.ts';
import type { IssueProblem } from './issues.ts';
import { formatPath, showKey } from './problem.ts';
import { nearest } from './nearest.ts';

const problem = (code: ErrorCode, path: Path, message: string, hint: string, part: 'key' | 'value' = 'value'): IssueProblem => ({ code, path, part, message, hint });

/** Reports the second and later of equal things; `of` names the first. */
function duplicates(things: readonly { id: string; path: Path; what: string; hint: string }[]): readonly IssueProblem[] {
  const first = new Map<string, Path>();
  return things.flatMap(({ id, path, what, hint }) => {
    const earlier = first.get(id);
    if (earlier === undefined) first.set(id, path);
    return earlier === undefined ? [] : [problem('config.duplicate', path, `${what} is the same as that of ${formatPath(earlier)}.`, hint)];
  });
}

/** The name of the table alone: what stands after the last dot that is not in quotes. */
function bareName(table: string): string {
  const quoted = /"((?:[^"]|"")+)"\s*$/.exec(table)?.[1];
  return quoted ?? table.split('.').at(-1) ?? table;
}

function targetOf(sourceId: string, stream: Readonly<Record<string, unknown>>, foldsToUpper: boolean): string | null {
  if (typeof stream.target === 'string') return stream.target.includes('.') ? stream.target : `${sourceId}.${stream.target}`;
  if (stream.target !== undefined || typeof stream.table !== 'string') return null;
  const name = bareName(stream.table);
  return `${sourceId}.${foldsToUpper && name === name.toUpperCase() ? name.toLowerCase() : name}`;
}

function duplicateProblems(sources: readonly Entry[], spelling: Spelling, registry: ConnectorRegistry): readonly IssueProblem[] {
  const ids = sources.flatMap(({ path, value }) =>
    typeof value.id === 'string' ? [{ id: value.id, path: [...path, 'id'], what: 'This id', hint: 'Give each source an id of its own.' }] : []);
  const targets: { id: string; path: Path; what: string; hint: string }[] = [];
  const streamProblems: IssueProblem[] = [];
  const seenSources = new Set<unknown>();
  for (const source of sources) {
    const streams = streamEntries(source, spelling);
    const names = streams.flatMap(({ path, value }) =>
      typeof value.table === 'string' ? [{ id: value.table, path, what: 'This table', hint: 'Name each table of a source once.' }] : []);
    const repeated = duplicates(names);
    streamProblems.push(...repeated);
    const id = source.value.id;
    if (typeof id !== 'string' || seenSources.has(id)) continue;
    seenSources.add(id);
    const kind = source.value[spelling.kind];
    const folds = typeof kind === 'string' && registry.find(kind)?.capabilities.foldsToUpper === true;
    const repeatedPaths = new Set(repeated.map((each) => formatPath(each.path)));
    for (const { path, value } of streams) {
      const target = repeatedPaths.has(formatPath(path)) ? null : targetOf(id, value, folds);
      if (target !== null) targets.push({ id: target, path: value.target === undefined ? path : [...path, 'target'], what: `The target ${JSON.stringify(target)}`, hint: 'Give one of the two streams another target: schema.table.' });
    }
  }
  return [...duplicates(ids), ...streamProblems, ...duplicates(targets)];
}

/** A mask that names a key which `keys` does not have. */
function maskKeyProblems(level: Entry, known: readonly string[]): readonly IssueProblem[] {
  if (!isGroup(level.value.mask)) return [];
  return Object.entries(level.value.mask).flatMap(([column, mask]) => {
    const word = isGroup(mask) ? (['hmac', 'encrypt'] as const).find((each) => typeof mask[each] === 'string') : undefined;
    const key = word === undefined || !isGroup(mask) ? undefined : mask[word];
    if (word === undefined || typeof key !== 'string' || known.includes(key)) return [];
    const near = nearest(key, known);
    const hint = near === null ? `Add it: keys: { ${showKey(key)}: { env: VARIABLE } }.` : `Did you mean ${near}?`;
    return [problem('config.key_missing', [...level.path, 'mask', column, word], `The mask names the key ${JSON.stringify(showKey(key))}, which keys: does not have.`, hint)];
  });
}

/** `schedule` and `poll_interval` at one level contradict each other. */
function scheduleProblems(level: Entry): readonly IssueProblem[] {
  const both = typeof level.value.schedule === 'string' && level.value.poll_interval !== undefined;
  return both ? [problem('config.invalid', [...level.path, 'schedule'], 'Both schedule and poll_interval are set here.', 'Keep one of them.', 'key')] : [];
}

/** Wishes of a stream that contradict each other, inherited ones included. `levels` from wide to narrow, the stream last. */
function streamProblems(stream: Entry, levels: readonly Entry[]): readonly IssueProblem[] {
  const inherited = (key: string): unknown => levels.findLast(({ value }) => value[key] !== undefined)?.value[key];
  const mode = inherited('mode') ?? 'upsert';
  const key: readonly unknown[] | null = Array.isArray(stream.value.key) ? stream.value.key : null;
  const problems: IssueProblem[] = [];
  if (key?.length === 0 && mode !== 'replace') {
    problems.push(problem('config.invalid', [...stream.path, 'key'], `The mode ${mode === 'append' ? 'append' : 'upsert'} needs a key, and this stream says that there is none.`, 'Name the key columns, or write mode: replace.'));
  }
  if (mode === 'append' && isGroup(inherited('deletes'))) {
    const own = stream.value.deletes !== undefined;
    problems.push(problem('config.unsupported', own ? [...stream.path, 'deletes'] : stream.path, 'The mode append keeps every row, so deletes: does not go with it.', 'Write deletes: null in the stream, or use mode: upsert.'));
  }
  const columns = inherited('columns');
  const excluded = isGroup(columns) && Array.isArray(columns.exclude) ? (columns.exclude as readonly unknown[]) : [];
  const ordering = [...(key ?? []), ...(typeof stream.value.cursor === 'string' ? [stream.value.cursor] : [])];
  for (const column of ordering) {
    if (!excluded.includes(column)) continue;
    problems.push(problem('config.invalid', stream.path, `The column ${JSON.stringify(column)} is excluded, but key or cursor need it.`, 'Take it out of columns.exclude; mask it if its values must not be seen.'));
  }
  return [...problems, ...keyMaskProblems(stream, key ?? [])];
}

/** A mask on a key column must keep different values different. */
function keyMaskProblems(stream: Entry, key: readonly unknown[]): readonly IssueProblem[] {
  const masks = isGroup(stream.value.mask) ? stream.value.mask : {};
  return Object.entries(masks).flatMap(([column, mask]) => {
    const keeps = isGroup(mask) && (typeof mask.hmac === 'string' || typeof mask.encrypt === 'string');
    if (keeps || mask === 'none' || !key.includes(column)) return [];
    return [problem('config.invalid', [...stream.path, 'mask', column], 'This mask would make different keys equal.', 'Mask a key column with { hmac: KEY } or { encrypt: KEY }.')];
  });
}

/** Everything above, over a whole file. `data` has its references resolved. */
export function crossChecks(data: unknown, spelling: Spelling, registry: ConnectorRegistry): readonly IssueProblem[] {
  const keys = valueAt(data, ['keys']);
  const known = isGroup(keys) ? Object.keys(keys) : [];
  const defaults = valueAt(data, ['defaults']);
  const widest: readonly Entry[] = isGroup(defaults) ? [{ path: ['defaults'], value: defaults }] : [];
  const sources = sourceEntries(data, spelling);
  const perLevel = (level: Entry): readonly IssueProblem[] => [...maskKeyProblems(level, known), ...scheduleProblems(level)];
  return [
    ...duplicateProblems(sources, spelling, registry),
    ...widest.flatMap(perLevel),
    ...sources.flatMap((source) => [
      ...perLevel(source),
      ...streamEntries(source, spelling).flatMap((stream) => [...perLevel(stream), ...streamProblems(stream, [...widest, source, stream])]),
    ]),
  ];
}
