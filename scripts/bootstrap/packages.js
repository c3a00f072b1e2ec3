import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { npm } from './programs.js';
import { MissingError, say } from './report.js';

function readLock(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages ?? {};
  } catch {
    return null;
  }
}

/** Whether node_modules holds what package-lock.json says. Development and optional packages may be left out, not differ. */
export function packagesMatch(root) {
  const wanted = readLock(join(root, 'package-lock.json'));
  const installed = readLock(join(root, 'node_modules', '.package-lock.json'));
  if (wanted === null || installed === null) return false;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '' || entry.link) return true;
    const found = installed[path];
    if (found === undefined) return Boolean(entry.dev || entry.optional || entry.devOptional || entry.peer);
    return found.version === entry.version && existsSync(join(root, path));
  });
}

/**
 * npm links the commands of dependencies, not the project's own; without this link `npx tidemark` would install the project into npx's
 * cache first, with the network. Fails in silence: npx then takes that way.
 */
export function linkCommand(root) {
  const link = join(root, 'node_modules', '.bin', 'tidemark');
  try {
    if (existsSync(link)) return;
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join('..', '..', 'scripts', 'tidemark.js'), link);
  } catch {
    // A read-only or foreign file system.
  }
}

/** Installs the packages of the lock file where they are missing or others. Throws MissingError. */
export async function bringPackages(root, node) {
  if (packagesMatch(root)) return;
  const fresh = !existsSync(join(root, 'node_modules'));
  say(`installing the packages of package-lock.json: about a minute`);
  // The caller does what the install script would do, and shows it.
  const env = { TIDEMARK_SKIP_POSTINSTALL: '1' };
  // `ci` is exact but refuses a lock file that lacks another platform's packages; `install` takes the same versions.
  const exact = fresh && (await npm(['ci'], { cwd: root, node, env, quiet: true })) === 0;
  if (!exact && (await npm(['install', '--no-save'], { cwd: root, node, env })) !== 0) {
    throw new MissingError('npm could not install the packages. Ways on:', ['look at the lines above', 'let npm reach its registry (npm ping), and run the command again']);
  }
}
