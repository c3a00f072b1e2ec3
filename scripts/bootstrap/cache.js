/**
 * Where what was fetched once is kept, outside of any checkout: `$TIDEMARK_CACHE_DIR`, else `$XDG_CACHE_HOME/tidemark`, else
 * `~/.cache/tidemark`, else a private folder of the system's temporary directory. runtime/environment.ts follows the same rule.
 *
 *   node/node_modules/node-<platform>-<arch>/   Node 24
 *   bin/temporal                                Temporal's command line with the development server
 */
import { accessSync, constants, existsSync, lstatSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

function preferredFolder(env) {
  if (env.TIDEMARK_CACHE_DIR) return resolve(env.TIDEMARK_CACHE_DIR);
  if (env.XDG_CACHE_HOME) return join(env.XDG_CACHE_HOME, 'tidemark');
  const home = env.HOME || homedir();
  return home ? join(home, '.cache', 'tidemark') : null;
}

function writable(folder) {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK | constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** A folder in a directory that everybody writes to is only used if it is ours. */
function privateTemporaryFolder() {
  const uid = process.getuid?.() ?? 0;
  const folder = join(tmpdir(), `tidemark-cache-${uid}`);
  if (!existsSync(folder)) mkdirSync(folder, { mode: 0o700 });
  const facts = lstatSync(folder);
  if (!facts.isDirectory() || (process.getuid && facts.uid !== uid)) throw new Error(`${folder} belongs to somebody else; set TIDEMARK_CACHE_DIR`);
  return folder;
}

let chosen = null;

/** Absolute; made if it is not there. */
export function cacheFolder(env = process.env) {
  if (chosen === null) {
    const preferred = preferredFolder(env);
    chosen = preferred !== null && (writable(preferred) || existsSync(preferred)) ? preferred : privateTemporaryFolder();
  }
  return chosen;
}

/** A new folder on the same file system as the cache, so that what is made in it can be renamed into place. */
export function workFolder(name) {
  return mkdtempSync(join(cacheFolder(), `${name}.new-`));
}

/**
 * Moves `made` to `target` in one step. Where another process was faster, theirs stays, if `isGood` says so of it.
 * Nobody ever sees half of it.
 */
export function putInPlace(made, target, isGood) {
  mkdirSync(join(target, '..'), { recursive: true });
  for (let attempt = 1; attempt <= 3; attempt += 1) {
    if (existsSync(target) && isGood()) return;
    if (existsSync(target)) {
      const aside = `${target}.old-${process.pid}-${attempt}`;
      renameSync(target, aside);
      rmSync(aside, { recursive: true, force: true });
    }
    try {
      renameSync(made, target);
      return;
    } catch (error) {
      if (attempt === 3) throw error;
    }
  }
}
