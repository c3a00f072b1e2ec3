import { readFile } from 'node:fs/promises';
import type { Capabilities } from '../connectors/connector.ts';
import { connectSource, type Variables } from '../connectors/connect-source.ts';
import { findManifest } from '../connectors/registry.ts';
import { requireSource } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import { SessionLeases } from '../destinations/postgres/session-lease.ts';
import type { Engine } from '../pipeline/engine.ts';
import { registerSecret } from '../runtime/secret-masking.ts';
import type { KeySources, SourceSettings } from '../schemas/settings.ts';
import { openGuarded } from './source-access.ts';

/** Rows that commit together at most. */
export const BATCH_ROWS_MAX = 2_000_000;
/** Rows, about, of a batch that another is copied beside: a second's work, after which whoever waits for its session at the source gets it. */
const SIDE_ROWS = 500_000;
/** Rows of one part of a full build. */
export const PART_ROWS_MAX = 2_000_000;

/** The engine of a worker: one destination, sources opened by their id from the catalog. */
export function createEngine(destination: Destination, variables: () => Variables): Engine {
  const leases = new SessionLeases(destination);
  const connect = (settings: SourceSettings, signal: AbortSignal) => connectSource(settings, { variables: variables(), signal, onSecret: registerSecret });
  return {
    destination,
    batchRowsMax: BATCH_ROWS_MAX,
    sideRows: SIDE_ROWS,
    openSource: (sourceId, signal, use = 'primary only', stream) => openGuarded({ destination, leases, connect }, { source: sourceId, stream }, signal, use),
    openSpareSource: (sourceId, signal, stream) => openGuarded({ destination, leases, connect }, { source: sourceId, stream, spare: true }, signal, 'sync'),
    async readKeys(sourceId) {
      const { keys = {} } = await readSettings(destination, sourceId);
      return new Map(await Promise.all(Object.entries(keys).map(async ([name, from]) => [name, await readKey(from, variables())] as const)));
    },
  };
}

/** A key's text, told to the log's masking before anybody uses it; undefined where it is not there. */
async function readKey(from: KeySources[string], variables: Variables): Promise<string | undefined> {
  const text = 'env' in from ? variables[from.env] : await readFile(from.file, 'utf8').catch(() => undefined);
  if (text !== undefined && text.trim() !== '') registerSecret(text.trim());
  return text;
}

export async function readCapabilities(destination: Destination, sourceId: string): Promise<Capabilities> {
  const settings = await readSettings(destination, sourceId);
  return (await findManifest(settings.kind)).capabilities;
}

async function readSettings(destination: Destination, sourceId: string): Promise<SourceSettings> {
  const source = await destination.session('reading the catalog', (session) => requireSource(session, sourceId));
  return source.settings;
}
