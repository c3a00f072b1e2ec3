import { existsSync } from 'node:fs';
import { openDestination, type Destination } from '../destinations/postgres/destination.ts';
import { registerUrlSecrets } from '../runtime/secret-masking.ts';
import { resolveReferences, type Variables } from '../schemas/config-references.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { Settings } from '../schemas/settings.ts';
import { loadSettings } from './configuration/load.ts';

/** The URL of the destination that settings name, references resolved now. Throws `target.not_configured`, `config.variable_missing`. */
export function destinationUrl(settings: Pick<Settings, 'destinationUrl'>, variables: Variables): string {
  const url = settings.destinationUrl === null ? variables.DESTINATION_URL : resolveReferences(settings.destinationUrl, variables);
  if (typeof url !== 'string' || url === '') {
    throw new TidemarkError('target.not_configured', 'No destination is configured.', { hint: 'Write destination.url into the file, set DESTINATION_URL, or start tidemark up, which brings one.' });
  }
  registerUrlSecrets(url);
  return url;
}

/** The destination's URL by the file where there is one, else by DESTINATION_URL. */
export async function destinationUrlByFile(configFile: string, variables: Variables): Promise<string> {
  if (!existsSync(configFile)) return destinationUrl({ destinationUrl: null }, variables);
  const { settings } = await loadSettings(configFile, { env: variables, requireEnv: false });
  return destinationUrl(settings, variables);
}

/** Opens the destination for a command and prepares the schema `tidemark`. The caller closes it. */
export async function openForCommand(url: string): Promise<Destination> {
  const destination = openDestination(url, { applicationName: 'tidemark', sessionsMax: 4 });
  try {
    await destination.ready();
    return destination;
  } catch (error) {
    await destination.close();
    throw error;
  }
}
