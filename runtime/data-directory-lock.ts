/**
 * One `up` for one data directory. The lock is a file that names the process that holds it; a lock of a dead process is taken over.
 */
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { TidemarkError } from '../schemas/errors.ts';
import { endProcess, identify, lives, type ProcessIdentity } from './process-identity.ts';

const END_WITHIN_MS = 12_000;
const ATTEMPTS = 5;

const identitySchema = z.object({ pid: z.number().int(), began: z.string() });
const lockSchema = z.object({
  holder: identitySchema,
  /** The launcher that waits for the holder, where there is one: once it was killed, the holder is about to end too. */
  launcher: identitySchema.nullable(),
});

function readLock(file: string): z.infer<typeof lockSchema> | null {
  try {
    return lockSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    return null;
  }
}

function tryTake(file: string, own: string): boolean {
  try {
    linkSync(own, file);
    return true;
  } catch {
    return false;
  }
}

/** Moves a dead holder's lock away. Of several who try, one moves it. */
function clearDead(file: string): void {
  const aside = `${file}.dead.${process.pid}`;
  try {
    renameSync(file, aside);
    const moved = readLock(aside);
    // Another start took it between the look and the move: it gets it back.
    if (moved !== null && lives(moved.holder)) tryTake(file, aside);
    rmSync(aside, { force: true });
  } catch {
    // Somebody else moved it.
  }
}

/**
 * Takes the directory (made if it is not there) for this process; returns what releases it.
 * Throws `up.already_running` while another one holds it, `up.data_dir_unusable` where it can't be written.
 */
export async function lockDataDirectory(dataDir: string, launcher: ProcessIdentity | null): Promise<() => void> {
  const file = join(dataDir, 'up.lock');
  const own = `${file}.${process.pid}`;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    writeFileSync(own, JSON.stringify({ holder: identify(process.pid), launcher }), { mode: 0o600 });
  } catch (cause) {
    throw new TidemarkError('up.data_dir_unusable', `The data directory ${dataDir} can't be written.`, { hint: 'Choose another one with --data-dir DIR.', cause });
  }
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      if (tryTake(file, own)) return () => rmSync(file, { force: true });
      const lock = readLock(file);
      if (lock !== null && lives(lock.holder)) {
        if (lock.launcher === null || lives(lock.launcher)) break;
        await endProcess(lock.holder, ['SIGTERM'], END_WITHIN_MS);
      }
      clearDead(file);
    }
  } finally {
    rmSync(own, { force: true });
  }
  const pid = readLock(file)?.holder.pid;
  throw new TidemarkError('up.already_running', `Another \`tidemark up\` uses the data directory ${dataDir}${pid === undefined ? '' : ` (process ${pid})`}.`, {
    hint: 'Use that one, end it, or choose another directory with --data-dir DIR.',
  });
}
