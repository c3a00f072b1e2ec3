/** What a source's breaker says when it is open, and what its fallback may be used for. */
import type { SourceSession } from '../connectors/connector.ts';
import { listServers, type BreakerRow } from '../destinations/postgres/breaker.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { SourceUse } from '../pipeline/engine.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { SourceSettings } from '../schemas/settings.ts';

/** What counts for a breaker: the source's own failures to be reached, not those that say that it was not tried. */
export function isConnectionFailure(error: unknown): error is TidemarkError {
  return error instanceof TidemarkError && error.retry === 'unreachable' && error.code.startsWith('source.') && error.code !== 'source.breaker_open';
}

/** Says since when, why, and when it is tried again. */
export function breakerOpen(settings: SourceSettings, breakers: readonly BreakerRow[], use: SourceUse): TidemarkError {
  const { id } = settings;
  const row = (name: string) => breakers.find((each) => each.connection === name && each.state !== 'closed');
  const primary = row('primary');
  const since = primary === undefined ? 'its breaker is open' : `its breaker is open since ${minute(primary.openedAt)} (${primary.lastError ?? 'source.unreachable'})`;
  const second = row('fallback');
  const fallback = settings.fallback === null ? '' : use === 'primary only' ? ' Its fallback serves syncs only.' : second === undefined ? '' : ` Its fallback can't be reached either (${second.lastError ?? 'source.unreachable'}).`;
  const next = breakers.filter((each) => each.retryAt !== null && (use === 'sync' || each.connection === 'primary')).map((each) => each.retryAt!).sort()[0];
  const when = next === undefined ? 'at the end of its cooldown' : `from ${minute(next)} on`;
  return new TidemarkError('source.breaker_open', `Source ${id} is not tried now: ${since}.${fallback} It is tried again ${when}.`, {
    hint: `It comes back by itself. To try it at once: tidemark resume ${id} --force`,
  });
}

/** `2026-11-20T10:00:00Z`. */
function minute(iso: string | null): string {
  return iso === null ? 'just now' : iso.replace(/\.\d+Z$/, 'Z');
}

/**
 * Positions hold for one server's data: a replica of the primary shares its identity. Throws `source.fallback_unusable` where what was read
 * before was of another server.
 */
export async function requireReplica(destination: Destination, source: string, session: SourceSession): Promise<void> {
  const known = await destination.session('looking for the servers of a source', (held) => listServers(held, source));
  if (known.length === 0 || known.includes((await session.server()).identity)) return;
  throw new TidemarkError('source.fallback_unusable', `The fallback of ${source} is not a replica of its primary: it has another identity, and positions can't be carried over to it.`, {
    hint: 'Nothing was read from it. Name a physical replica of the primary, or take fallback out of the file.',
  });
}

/** An error on a fallback never stops a stream for good: the primary may come back at any time, and what holds there is another matter. */
export function fallbackUnusable(source: string, error: unknown): unknown {
  if (!(error instanceof TidemarkError) || error.retry !== 'permanent' || !error.code.startsWith('source.') || error.code === 'source.fallback_unusable') return error;
  return new TidemarkError('source.fallback_unusable', `The fallback of ${source} can't be read (${error.code}): ${error.message}`, {
    hint: 'The primary is tried again by itself. Check the fallback with tidemark check.',
    cause: error,
  });
}
