/** Bundles of workflow code from before today's, for a worker that runs {@link USE_BUNDLE}. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { repositoryRoot } from '../support/describe-with.ts';
import { scratchFolder } from '../support/shared-server.ts';

/** What a bundle is made of. */
const PARTS = ['workflows', 'schemas', 'runtime/failure-converter.ts', 'workers/bundle-workflows.ts', 'package.json'] as const;
const PATCHED = /\bpatched\('[^']+'\)/g;
const USE_BUNDLE = pathToFileURL(join(import.meta.dirname, 'use-bundle.js')).href;

/** For a worker whose workflows are those of a bundle. */
export function workerOf(bundle: string): Record<string, string> {
  return { NODE_OPTIONS: `--import ${USE_BUNDLE}`, TIDEMARK_TEST_BUNDLE: bundle };
}

/** Today's workflows without what was patched into them: as the code was before its patches, but for what replays alike. */
export function bundleWithoutPatches(): string {
  const folder = scratchFolder('older');
  for (const part of PARTS) {
    mkdirSync(join(folder, part, '..'), { recursive: true });
    cpSync(join(repositoryRoot, part), join(folder, part), { recursive: true });
  }
  let patches = 0;
  for (const name of readdirSync(join(folder, 'workflows'))) {
    const path = join(folder, 'workflows', name);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace(PATCHED, () => (patches += 1, 'false')));
  }
  if (patches === 0) throw new Error('today\'s workflows have no patches: there is nothing to take away');
  return bundled(folder);
}

/** The commit whose workflows are the last from before any patch; null where this checkout does not go back so far. */
export function commitBeforePatches(): string | null {
  const git = (...args: string[]) => spawnSync('git', args, { cwd: repositoryRoot, encoding: 'utf8' }).stdout ?? '';
  const [first] = git('log', '--reverse', '--format=%H', '-Spatched(', '--', 'workflows').split('\n');
  if (!first) return null;
  return git('rev-parse', '--verify', '--quiet', `${first}^`).trim() || null;
}

export function bundleOfCommit(commit: string): string {
  const folder = scratchFolder('older');
  const archive = execFileSync('git', ['archive', commit, ...PARTS], { cwd: repositoryRoot, maxBuffer: 1 << 28 });
  execFileSync('tar', ['-x', '-C', folder], { input: archive });
  return bundled(folder);
}

function bundled(folder: string): string {
  symlinkSync(join(repositoryRoot, 'node_modules'), join(folder, 'node_modules'));
  const bundle = join(folder, 'workflows.js');
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(folder, 'workers', 'bundle-workflows.ts'), bundle], { cwd: folder, stdio: 'pipe' });
  return bundle;
}
