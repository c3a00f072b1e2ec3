/** Connects to every source of a file and to its destination, and tells what answers. Changes nothing anywhere. */
import { connectSource, type Variables } from '../connectors/connect-source.ts';
import { openDestination } from '../destinations/postgres/destination.ts';
import { registerSecret } from '../runtime/secret-masking.ts';
import { TidemarkError, type ErrorInfo } from '../schemas/errors.ts';
import type { Settings, SourceSettings } from '../schemas/settings.ts';
import type { ServerFacts } from '../schemas/table.ts';
import { fallbackWarnings } from './check-fallback.ts';
import { destinationUrl } from './destination.ts';
import { readServer, type CheckedServer } from './destination-server.ts';

/** Ends that are connected to at once. */
const CHECKED_AT_ONCE = 8;
/** A source that has not told what it is by then counts as unreachable. */
const ANSWER_MAX_MS = 30_000;
/** One question of a check, whatever the source's own settings allow for reads. */
const STATEMENT_MAX_SECONDS = 15;

/** One line of `check`. */
export interface CheckResult {
  readonly id: string;
  readonly name: string;
  readonly kind: string;
  readonly isConnected: boolean;
  /** From the first packet to the server's last answer, whole milliseconds; until it failed where it failed. */
  readonly responseTimeMs: number;
  /** ISO 8601, UTC. */
  readonly lastChecked: string;
  /** Null where it failed. */
  readonly server: CheckedServer | null;
  readonly error: ErrorInfo | null;
}

export interface CheckWarning {
  /** Null: the destination. */
  readonly source: string | null;
  readonly message: string;
}

export interface CheckReport {
  readonly totalSources: number;
  readonly connectedSources: number;
  readonly failedSources: number;
  /** In the file's order. */
  readonly results: readonly CheckResult[];
  /** Null where none is configured; a warning says so then. */
  readonly destination: CheckResult | null;
  /** Missing privileges, each with what it costs. */
  readonly warnings: readonly CheckWarning[];
  /** How a source is read where its server leaves a choice. No trouble. */
  readonly notes: readonly CheckWarning[];
}

export interface CheckOptions {
  readonly variables: Variables;
  readonly signal: AbortSignal;
}

interface Checked {
  readonly result: CheckResult;
  readonly warnings: readonly CheckWarning[];
  readonly notes: readonly CheckWarning[];
}

/** The named sources of a file in its order, or all. Throws `usage.unknown_source`. */
export function sourcesOfFile(settings: Settings, named: readonly string[]): readonly SourceSettings[] {
  const unknown = named.find((id) => !settings.sources.some((source) => source.id === id));
  if (unknown === undefined) return named.length === 0 ? settings.sources : settings.sources.filter((source) => named.includes(source.id));
  const known = settings.sources.map((source) => source.id);
  throw new TidemarkError('usage.unknown_source', `The file has no source ${unknown}.`, { hint: known.length === 0 ? 'It has no source at all.' : `Its sources are ${known.join(', ')}.` });
}

/** Checks the named sources, or all, and the destination. A failure is part of the report; throws only for a name that the file does not have. */
export async function checkEnds(settings: Settings, named: readonly string[], options: CheckOptions): Promise<CheckReport> {
  const sources = sourcesOfFile(settings, named);
  const [checked, destination] = await Promise.all([checkSources(sources, options), checkDestination(settings, options)]);
  const results = checked.map((each) => each.result);
  const connected = results.filter((each) => each.isConnected).length;
  return {
    totalSources: results.length,
    connectedSources: connected,
    failedSources: results.length - connected,
    results,
    destination: destination.result,
    warnings: [...checked.flatMap((each) => each.warnings), ...destination.warnings],
    notes: checked.flatMap((each) => each.notes),
  };
}

async function checkSources(sources: readonly SourceSettings[], options: CheckOptions): Promise<Checked[]> {
  const checked: Checked[] = [];
  const queue = [...sources.entries()];
  const lane = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) checked[next[0]] = await checkSource(next[1], options);
  };
  await Promise.all(Array.from({ length: CHECKED_AT_ONCE }, lane));
  return checked;
}

async function checkSource(source: SourceSettings, options: CheckOptions): Promise<Checked> {
  const { id, name, kind } = source;
  const deadline = AbortSignal.timeout(ANSWER_MAX_MS);
  const signal = AbortSignal.any([options.signal, deadline]);
  let identity: string | null = null;
  const primary = await timed({ id, name, kind }, id, async () => {
    try {
      const bounded = { ...source, statementTimeoutSeconds: Math.min(source.statementTimeoutSeconds, STATEMENT_MAX_SECONDS) };
      const session = await connectSource(bounded, { variables: options.variables, signal, onSecret: registerSecret });
      try {
        const facts = await session.server();
        identity = facts.identity;
        return facts;
      } finally {
        await session.close();
      }
    } catch (error) {
      if (!deadline.aborted || options.signal.aborted) throw error;
      throw new TidemarkError('source.unreachable', `Source ${id} did not answer within ${ANSWER_MAX_MS / 1_000} seconds.`, { hint: 'Check that the server is not overloaded, and the network between this machine and it.', cause: error });
    }
  });
  const fallback = await fallbackWarnings(source, identity, { ...options, signal: AbortSignal.any([options.signal, AbortSignal.timeout(ANSWER_MAX_MS)]) });
  return { ...primary, warnings: [...primary.warnings, ...fallback.map((message) => ({ source: id, message }))] };
}

async function checkDestination(settings: Settings, options: CheckOptions): Promise<{ result: CheckResult | null; warnings: readonly CheckWarning[] }> {
  let url: string;
  try {
    url = destinationUrl(settings, options.variables);
  } catch (error) {
    const { message, hint } = infoOf(error);
    return { result: null, warnings: [{ source: null, message: `not checked: ${message}${hint === null ? '' : ` ${hint}`}` }] };
  }
  return timed({ id: 'destination', name: 'Destination', kind: 'destination' }, null, async () => {
    const destination = openDestination(url, { applicationName: 'tidemark check', sessionsMax: 1 });
    try {
      return await destination.session('checking the destination', readServer);
    } finally {
      await destination.close();
    }
  });
}

async function timed(end: Pick<CheckResult, 'id' | 'name' | 'kind'>, source: string | null, ask: () => Promise<CheckedServer & Pick<ServerFacts, 'warnings' | 'notes'>>): Promise<Checked> {
  const began = performance.now();
  const past = () => ({ responseTimeMs: Math.round(performance.now() - began), lastChecked: new Date().toISOString() });
  try {
    const { product, version, database, user, timezone, warnings, notes = [] } = await ask();
    return {
      result: { ...end, isConnected: true, ...past(), server: { product, version, database, user, timezone }, error: null },
      warnings: warnings.map((message) => ({ source, message })),
      notes: notes.map((message) => ({ source, message })),
    };
  } catch (error) {
    return { result: { ...end, isConnected: false, ...past(), server: null, error: infoOf(error) }, warnings: [], notes: [] };
  }
}

function infoOf(error: unknown): ErrorInfo {
  if (error instanceof TidemarkError) return error.info();
  return new TidemarkError('internal.unexpected', 'Something happened that Tidemark does not expect.', { hint: 'Please report it with the kind and version of the server.' }).info();
}
