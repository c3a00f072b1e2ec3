/**
 * The workflow code as one file. Bundling takes a second and 300 MiB, so it is done once for each version of the code, in a
 * process of its own, and kept in the cache directory.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheDirectory } from '../runtime/environment.ts';
import { TidemarkError } from '../schemas/errors.ts';

const PROJECT = join(import.meta.dirname, '..');
/** Folders whose code is in the bundle; a change in any makes another bundle. */
const BUNDLED_FOLDERS = ['workflows', 'schemas'] as const;
const BUNDLED_FILES = [join('runtime', 'failure-converter.ts'), 'package-lock.json'] as const;
const BUNDLE_TIMEOUT_MS = 120_000;

/** Path of the bundle of this very code; makes it where it is missing. Safe in several processes at once. */
export async function workflowBundle(): Promise<string> {
  const folder = join(cacheDirectory(), 'workflows');
  const path = join(folder, `${await sourceHash()}.js`);
  if (existsSync(path)) return path;
  await mkdir(folder, { recursive: true });
  const next = `${path}.${process.pid}`;
  try {
    await promisify(execFile)(process.execPath, [join(import.meta.dirname, 'bundle-workflows.ts'), next], { timeout: BUNDLE_TIMEOUT_MS });
  } catch (cause) {
    throw new TidemarkError('internal.unexpected', 'The workflow code could not be bundled.', { hint: `Run it by hand to see why: node workers/bundle-workflows.ts ${next}`, cause });
  }
  await rename(next, path);
  return path;
}

async function sourceHash(): Promise<string> {
  const listed = await Promise.all(BUNDLED_FOLDERS.map(async (folder) => (await readdir(join(PROJECT, folder))).filter((name) => name.endsWith('.ts')).sort().map((name) => join(folder, name))));
  const hash = createHash('sha256');
  for (const file of [...listed.flat(), ...BUNDLED_FILES]) {
    hash.update(`${file}\n`);
    hash.update(await readFile(join(PROJECT, file)).catch(() => ''));
  }
  return hash.digest('hex').slice(0, 32);
}
