import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bringNode } from './node.js';
import { bringPackages, linkCommand } from './packages.js';
import { bringTemporal } from './temporal.js';

/** The checkout. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/**
 * Brings what is missing of Node 24, the packages and, if wanted, a Temporal server program. What is there costs milliseconds.
 * Throws MissingError.
 *
 * @param {{ temporal: boolean }} wanted
 * @returns {Promise<{ node: string, temporal: string | null }>} paths of both programs
 */
export async function prepare(wanted) {
  const node = await bringNode();
  await bringPackages(ROOT, node);
  linkCommand(ROOT);
  const temporal = wanted.temporal ? await bringTemporal(ROOT, node) : null;
  return { node, temporal };
}
