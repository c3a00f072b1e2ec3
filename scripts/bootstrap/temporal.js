/**
 * A Temporal server program: on PATH, in the cache, downloaded by Temporal's SDK, or built with Go. Only an installation fetches;
 * `tidemark up` uses what is there.
 */
import { accessSync, chmodSync, constants, existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cacheFolder, putInPlace, workFolder } from './cache.js';
import { run, which } from './programs.js';
import { MissingError, say } from './report.js';

/** The newest tag that `go install` accepts: later ones carry a replace directive. */
const GO_PACKAGE = 'github.com/temporalio/cli/cmd/temporal@v1.5.1';
const DOWNLOAD_TIMEOUT_MS = 180_000;
const BUILD_TIMEOUT_MS = 30 * 60_000;
const FILE = process.platform === 'win32' ? 'temporal.exe' : 'temporal';
const DOWNLOADER = join(dirname(fileURLToPath(import.meta.url)), 'download-temporal.js');

function runnable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const cached = () => join(cacheFolder(), 'bin', FILE);

/** Path of the program, or null if there is none. */
export function findTemporal() {
  return which('temporal') ?? (runnable(cached()) ? cached() : null);
}

async function keep(work) {
  const made = join(work, FILE);
  if (!existsSync(made)) return false;
  chmodSync(made, 0o755);
  if ((await run(made, ['--version'], { quiet: true, timeoutMs: 30_000 })) !== 0) return false;
  putInPlace(made, cached(), () => runnable(cached()));
  return true;
}

async function download(root, node, work) {
  if (!existsSync(join(root, 'node_modules', '@temporalio', 'testing'))) return false;
  say('downloading the Temporal development server: up to three minutes, 50 MB, once');
  const code = await run(node, [DOWNLOADER, work, FILE], { cwd: root, quiet: true, timeoutMs: DOWNLOAD_TIMEOUT_MS });
  return code === 0 && (await keep(work));
}

async function build(work) {
  const go = which('go');
  if (go === null) return false;
  say(`building the Temporal development server with Go (${GO_PACKAGE.split('@')[1]}): about three minutes on 2 cores, once`);
  const code = await run(go, ['install', GO_PACKAGE], { cwd: work, env: { ...process.env, GOBIN: work, GOFLAGS: '' }, timeoutMs: BUILD_TIMEOUT_MS });
  return code === 0 && (await keep(work));
}

/** Path of the program, brought into the cache where it is missing. Throws MissingError with the ways to get one. */
export async function bringTemporal(root, node) {
  const found = findTemporal();
  if (found !== null) return found;
  const work = workFolder('temporal');
  try {
    if ((await download(root, node, work)) || (await build(work))) return findTemporal();
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  throw new MissingError('There is no Temporal server, and none could be downloaded or built. Ways to get one:', [
    'set TEMPORAL_ADDRESS to the host:port of a server of yours',
    'install the Temporal CLI so that `temporal` is on the PATH: https://docs.temporal.io/cli',
    `install Go (https://go.dev/dl) and run the command again, which runs: go install ${GO_PACKAGE}`,
  ]);
}
