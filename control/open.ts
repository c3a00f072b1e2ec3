import type { Destination } from '../destinations/postgres/destination.ts';
import type { TemporalConnection } from '../runtime/temporal-client.ts';
import { referenceEnv } from '../runtime/up-state.ts';
import type { Variables } from '../schemas/config-references.ts';
import { loadSettings, type LoadedSettings } from './configuration/load.ts';
import { destinationUrl, destinationUrlByFile, openForCommand } from './destination.ts';

/** What a command was given: where its file and its data directory are. */
export interface Place {
  readonly configFile: string;
  readonly dataDir: string;
}

/** The variables that `${…}` references take: the environment, and the destination of a running `up`. */
export function variablesOf(place: Place): Variables {
  return referenceEnv(place.dataDir);
}

/** Reads the file; throws with all its problems. */
export async function readFile(place: Place, requireEnv: boolean): Promise<LoadedSettings> {
  return loadSettings(place.configFile, { env: variablesOf(place), requireEnv });
}

/** Opens the destination that the file names, or that of a running `up`; closes it after `work`. */
export async function withDestination<T>(place: Place, work: (destination: Destination) => Promise<T>): Promise<T> {
  const destination = await openForCommand(await destinationUrlByFile(place.configFile, variablesOf(place)));
  try {
    return await work(destination);
  } finally {
    await destination.close();
  }
}

/** {@link withDestination} for settings that were read already. */
export async function withSettingsDestination<T>(place: Place, loaded: LoadedSettings, work: (destination: Destination) => Promise<T>): Promise<T> {
  const destination = await openForCommand(destinationUrl(loaded.settings, variablesOf(place)));
  try {
    return await work(destination);
  } finally {
    await destination.close();
  }
}

/** Connects to Temporal for `work`. Throws `temporal.unreachable` with the two ways to get one. */
export async function withTemporal<T>(place: Place, work: (temporal: TemporalConnection) => Promise<T>): Promise<T> {
  const temporal = await openTemporal(place);
  try {
    return await work(temporal);
  } finally {
    await temporal.close();
  }
}

/** {@link withTemporal} and {@link withDestination} in one; both are opened at once. Where both fail the error is Temporal's. */
export async function withTemporalAndDestination<T>(place: Place, work: (temporal: TemporalConnection, destination: Destination) => Promise<T>): Promise<T> {
  // The destination is asked first: it answers while Temporal's client is being loaded.
  const opening = destinationUrlByFile(place.configFile, variablesOf(place)).then(openForCommand);
  const [destination, temporal] = await Promise.allSettled([opening, openTemporal(place)]);
  try {
    if (temporal.status === 'rejected') throw temporal.reason;
    if (destination.status === 'rejected') throw destination.reason;
    return await work(temporal.value, destination.value);
  } finally {
    if (destination.status === 'fulfilled') await destination.value.close();
    if (temporal.status === 'fulfilled') await temporal.value.close();
  }
}

/** Temporal's client takes longer to load than all else of a command, and most commands do without. */
async function openTemporal(place: Place): Promise<TemporalConnection> {
  const { connectTemporal, locateTemporal } = await import('../runtime/temporal-client.ts');
  return connectTemporal(locateTemporal(place.dataDir));
}
