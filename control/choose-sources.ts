import type { Destination } from '../destinations/postgres/destination.ts';
import { listStreams } from '../destinations/postgres/catalog.ts';
import { TidemarkError } from '../schemas/errors.ts';

/** Throws `usage.unknown_source` or `usage.unknown_stream` for a name that is not in the catalog. Returns the sources to sync. */
export async function chooseSources(destination: Destination, named: readonly string[], stream: string | null): Promise<string[]> {
  const streams = await destination.session('reading the catalog', (session) => listStreams(session, null));
  const known = [...new Set(streams.map((each) => each.source))];
  const unknown = named.find((source) => !known.includes(source));
  if (unknown !== undefined) {
    throw new TidemarkError('usage.unknown_source', `There is no source ${unknown} in the catalog.`, { hint: known.length === 0 ? 'Nothing is applied yet: run tidemark apply.' : `Applied sources: ${known.join(', ')}. After a change of the file run tidemark apply.` });
  }
  const chosen = named.length > 0 ? [...new Set(named)] : known;
  if (chosen.length === 0) throw new TidemarkError('run.not_applied', 'Nothing is applied yet.', { hint: 'Run tidemark apply.' });
  if (stream === null) return chosen;
  const having = chosen.filter((source) => streams.some((each) => each.source === source && each.stream === stream));
  if (having.length === 0) throw new TidemarkError('usage.unknown_stream', `No stream ${stream} is in the catalog.`, { hint: `Streams: ${streams.filter((each) => chosen.includes(each.source)).map((each) => each.stream).join(', ')}.` });
  return having;
}

/** Throws `usage.invalid` where a stream that was named does not look for deletes by a scan. */
export async function requireScanned(destination: Destination, sources: readonly string[], stream: string): Promise<void> {
  const streams = await destination.session('reading the catalog', (session) => listStreams(session, null));
  const named = streams.filter((each) => sources.includes(each.source) && each.stream === stream);
  if (named.some((each) => each.settings.deletes?.detect === 'scan')) return;
  const tombstone = named.some((each) => each.settings.deletes?.detect === 'tombstone');
  throw new TidemarkError('usage.invalid', `Stream ${stream} does not look for deletes by a scan.`, {
    hint: tombstone ? 'Its tombstones arrive with every sync: leave --detect-deletes out.' : 'Write deletes: { detect: scan } in the stream and run tidemark apply.',
  });
}
