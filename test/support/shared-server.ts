/**
 * One server of each kind for a whole jest run, started by the first test file that asks, whichever of jest's processes that is.
 * The run's watchdog ends it.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from './processes.ts';
import { runFolder } from './run-folder.js';

function readState<T>(file: string): T | null {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as T;
  } catch {
    return null;
  }
}

/** Takes the lock if it is free. A folder is made by one process only. */
function takes(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    return false;
  }
}

/** State of the shared server `name`; `start` runs at most once at a time in the run, and again only if it failed. */
export async function sharedServer<T>(name: string, start: (folder: string) => Promise<T>): Promise<T> {
  const folder = join(runFolder(), name);
  const file = `${folder}.json`;
  const lock = `${folder}.lock`;
  return waitFor(
    `the shared ${name}`,
    async () => {
      const state = readState<T>(file);
      if (state !== null) return state;
      if (!takes(lock)) return null;
      try {
        const earlier = readState<T>(file);
        if (earlier !== null) return earlier;
        rmSync(folder, { recursive: true, force: true });
        mkdirSync(folder);
        const started = await start(folder);
        writeFileSync(`${file}.new`, JSON.stringify(started));
        renameSync(`${file}.new`, file);
        return started;
      } finally {
        rmSync(lock, { recursive: true, force: true });
      }
    },
    120_000,
  );
}

/** A name that nothing else in the run has: test files share jest's processes, so a counter of one file would repeat. */
export function uniqueName(prefix: string): string {
  return `${prefix}_${randomBytes(5).toString('hex')}`;
}

/** A new folder in the run's folder, removed with it. */
export function scratchFolder(prefix: string): string {
  const folder = join(runFolder(), uniqueName(prefix));
  mkdirSync(folder, { recursive: true });
  return folder;
}
