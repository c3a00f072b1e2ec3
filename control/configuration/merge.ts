/** From a parsed file to settings: levels merged, defaults filled in, both spellings one. Pure; reports nothing. */
import type { DefaultsConfig, SourceConfig, StreamConfig } from '../../schemas/config.ts';
import type { Breaker, Mask, Schedule, SourceSettings, StreamSettings } from '../../schemas/settings.ts';

/** What holds where no level says otherwise. */
const DEFAULTS = {
  priority: 'normal', time_zone: 'UTC', mode: 'upsert', batch_size: 2000, overlap: 60, future_limit: 86_400, drift: 'evolve',
  delete_cap: 0.1, keep_generations: 1, bad_rows_max: 0.1, sessions_max: 4, statement_timeout: 1800,
} as const;
const BREAKER: Breaker = { failures: 5, cooldownSeconds: 60, successes: 2 };

type Level = Omit<DefaultsConfig, 'reconcile'>;

/** The value of `key` at the narrowest level that has one; levels go from wide to narrow. `null` counts as a value. */
function narrowest<Key extends keyof Level>(levels: readonly Level[], key: Key): Level[Key] {
  return levels.findLast((level) => level[key] !== undefined)?.[key];
}

/** A narrower level that names either way of scheduling lifts both of a wider one. */
function scheduleOf(levels: readonly Level[]): Schedule {
  const deciding = levels.findLast((level) => level.poll_interval !== undefined || level.schedule !== undefined);
  return {
    everySeconds: deciding?.poll_interval ?? null,
    cron: deciding?.schedule ?? null,
    timeZone: narrowest(levels, 'time_zone') ?? DEFAULTS.time_zone,
  };
}

/** Null: nothing is compared by itself. */
function reconcileOf(levels: readonly Pick<DefaultsConfig, 'reconcile' | 'time_zone'>[]): Schedule | null {
  const written = levels.findLast((level) => level.reconcile !== undefined)?.reconcile ?? null;
  if (written === null) return null;
  return { everySeconds: written.every ?? null, cron: written.schedule ?? null, timeZone: levels.findLast((level) => level.time_zone !== undefined)?.time_zone ?? DEFAULTS.time_zone };
}

function breakerOf(levels: readonly Level[]): Breaker {
  const written = Object.assign({}, ...levels.map((level) => withoutUndefined(level.breaker ?? {}))) as NonNullable<Level['breaker']>;
  return {
    failures: written.failures ?? BREAKER.failures,
    cooldownSeconds: written.cooldown ?? BREAKER.cooldownSeconds,
    successes: written.successes ?? BREAKER.successes,
  };
}

const withoutUndefined = (object: object): object => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

/** Entries of all levels, the narrowest of each name: a stream that masks one column keeps the masks of its source. */
function joined<Value>(records: readonly (Readonly<Record<string, Value>> | undefined)[]): Readonly<Record<string, Value>> {
  return Object.fromEntries(records.flatMap((record) => Object.entries(record ?? {})));
}

function masksOf(levels: readonly Level[]): Readonly<Record<string, Mask>> {
  const masks = Object.entries(joined(levels.map((level) => level.mask)));
  return Object.fromEntries(masks.filter((entry): entry is [string, Mask] => entry[1] !== null));
}

/** Settings that a source and a stream both have. */
function limitsOf(levels: readonly Level[]) {
  return {
    priority: narrowest(levels, 'priority') ?? DEFAULTS.priority,
    statementTimeoutSeconds: narrowest(levels, 'statement_timeout') ?? DEFAULTS.statement_timeout,
    sessionsMax: narrowest(levels, 'sessions_max') ?? DEFAULTS.sessions_max,
    readWindow: narrowest(levels, 'read_window') ?? null,
    breaker: breakerOf(levels),
  };
}

function targetOf(sourceId: string, target: string | undefined): string | null {
  if (target === undefined) return null;
  return target.includes('.') ? target : `${sourceId}.${target}`;
}

function mergeStream(sourceId: string, wide: readonly Level[], stream: StreamConfig): StreamSettings {
  const levels: readonly Level[] = [...wide, stream];
  const columns = narrowest(levels, 'columns');
  const ownSchedule = stream.poll_interval !== undefined || stream.schedule !== undefined || stream.time_zone !== undefined;
  return {
    name: stream.table,
    target: targetOf(sourceId, stream.target),
    mode: narrowest(levels, 'mode') ?? DEFAULTS.mode,
    cursor: stream.cursor ?? null,
    key: stream.key ?? null,
    include: columns?.include ?? ['*'],
    exclude: columns?.exclude ?? [],
    masks: masksOf(levels),
    transforms: joined(levels.map((level) => level.transform)),
    rules: narrowest(levels, 'rules') ?? [],
    deletes: narrowest(levels, 'deletes') ?? null,
    retention: narrowest(levels, 'retention') ?? null,
    freshnessSeconds: narrowest(levels, 'freshness') ?? null,
    ...(stream.touch_log === undefined || stream.touch_log.length === 0 ? {} : { touchLog: stream.touch_log }),
    ...(stream.reconcile === null ? { reconcile: false } : {}),
    enabled: stream.enabled ?? true,
    ...limitsOf(levels),
    schedule: ownSchedule ? scheduleOf(levels) : null,
    fetchRows: narrowest(levels, 'batch_size') ?? DEFAULTS.batch_size,
    batchRowsMax: narrowest(levels, 'batch_rows') ?? null,
    overlapSeconds: narrowest(levels, 'overlap') ?? DEFAULTS.overlap,
    futureLimitSeconds: narrowest(levels, 'future_limit') ?? DEFAULTS.future_limit,
    deleteCap: narrowest(levels, 'delete_cap') ?? DEFAULTS.delete_cap,
    keepGenerations: narrowest(levels, 'keep_generations') ?? DEFAULTS.keep_generations,
    badRowsMax: narrowest(levels, 'bad_rows_max') ?? DEFAULTS.bad_rows_max,
    drift: narrowest(levels, 'drift') ?? DEFAULTS.drift,
    types: joined(levels.map((level) => level.types)),
  };
}

/** `connection` and `fallback` as written, references kept. */
export interface WrittenConnections {
  readonly connection: Readonly<Record<string, unknown>>;
  readonly fallback: Readonly<Record<string, unknown>> | null;
}

/** `kind` is the connector's own word for it; `written` comes from the tree in which references are kept. */
export function mergeSource(defaults: DefaultsConfig, source: Omit<SourceConfig, 'kind'>, kind: string, written: WrittenConnections): SourceSettings {
  const levels = [defaults, source];
  const reconcile = reconcileOf(levels);
  return {
    id: source.id,
    name: source.name ?? source.id,
    kind,
    ...written,
    enabled: narrowest(levels, 'enabled') ?? true,
    schedule: scheduleOf(levels),
    ...(reconcile === null ? {} : { reconcile }),
    ...limitsOf(levels),
    streams: source.streams.map((stream) => mergeStream(source.id, levels, typeof stream === 'string' ? { table: stream } : stream)),
  };
}
