import { existsSync, readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';
import { environment } from './environment.ts';

/**
 * Whether `up` must bring a destination of its own: DESTINATION_URL is not set, and the file is absent, names no destination or
 * refers to that variable. A file that can't be understood is not judged here.
 */
export function needsEmbeddedDestination(configFile: string): boolean {
  if (environment().DESTINATION_URL !== undefined) return false;
  if (!existsSync(configFile)) return true;
  const url: unknown = parseDocument(readFileSync(configFile, 'utf8')).getIn(['destination', 'url']);
  return typeof url !== 'string' || url.includes('${DESTINATION_URL}');
}
