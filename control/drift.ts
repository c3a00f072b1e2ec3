import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { listSources } from '../destinations/postgres/catalog.ts';
import type { Destination } from '../destinations/postgres/destination.ts';
import type { SourceSettings } from '../schemas/settings.ts';
import { readFile, type Place } from './open.ts';

/** Same hash: the catalog has the source as the file has it. */
export function settingsHash(settings: SourceSettings): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex');
}

/** Ids of sources that the file has otherwise than the catalog. Empty where there is no file, or none that can be read. */
export async function changedSources(place: Place, destination: Destination): Promise<string[]> {
  if (!existsSync(place.configFile)) return [];
  const loaded = await readFile(place, false).catch(() => null);
  if (loaded === null) return [];
  const known = await destination.session('reading the catalog', listSources);
  return loaded.settings.sources.filter((source) => known.find((each) => each.settings.id === source.id)?.hash !== settingsHash(source)).map((source) => source.id);
}
