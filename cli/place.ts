import type { Place } from '../control/open.ts';
import type { CliContext } from './context.ts';

/** Where this call's file and data directory are. */
export async function placeOf(context: CliContext): Promise<Place> {
  return { configFile: await context.configFile(), dataDir: await context.dataDir() };
}
