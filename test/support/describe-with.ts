/**
 * Tests that need a server say so, and are skipped by name on a machine that cannot have it:
 *
 *     describeWith({ postgres: true, mariadb: true }, 'late commits', () => { … });
 *
 * With CI=true a skip is a failure (scripts/test.js). A suite that needs a server of the user's is opt-in by a variable
 * (`{ env: 'ORACLE_URL' }`); not running it never fails anything.
 */
import { join } from 'node:path';
import { findServers } from './find-servers.js';

export interface Needs {
  readonly postgres?: true;
  readonly mariadb?: true;
  readonly temporal?: true;
  /** The native driver, and Derby as its server. */
  readonly db2?: true;
  /** Environment variable whose presence opts in. */
  readonly env?: string;
}

export const repositoryRoot = join(import.meta.dirname, '..', '..');

/** Path of each server's program (PostgreSQL: the folder of its programs), null where this machine has none. */
export const servers = findServers(repositoryRoot);

/** Why tests with these needs do not run here; null if they do. */
export function skipReason(needs: Needs): string | null {
  if (needs.env !== undefined && !process.env[needs.env]) return `opt-in ${needs.env}`;
  const missing = (['postgres', 'mariadb', 'temporal', 'db2'] as const).filter((name) => needs[name] && servers[name] === null);
  return missing.length === 0 ? null : `needs ${missing.join(', ')}`;
}

export function describeWith(needs: Needs, name: string, suite: () => void): void {
  const reason = skipReason(needs);
  if (reason === null) describe(name, suite);
  else describe.skip(`${name} [${reason}]`, suite);
}
