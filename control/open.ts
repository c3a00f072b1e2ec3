import type { Destination } from '../destinations/postgres/destination.ts';
import { connectTemporal, locateTemporal, type TemporalConnection } from '../runtime/temporal-client.ts';
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
  const temporal = await connectTemporal(locateTemporal(place.dataDir));
  try {
    return await work(temporal);
  } finally {
    await temporal.close();
  }
}
