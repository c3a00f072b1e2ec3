/** Runs a TypeScript program of this project under Node 24 as if this process were it: same terminal, signals and exit code. */
import { spawn } from 'node:child_process';
import module from 'node:module';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { cacheFolder } from './cache.js';
import { watchLauncher } from './launcher-watch.js';

const END_WITH_PARENT = fileURLToPath(new URL('./end-with-parent.js', import.meta.url));
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
const NO_WARNINGS = '--disable-warning=ExperimentalWarning';
/**
 * glibc keeps heaps of its own for a worker's many threads and gives little of them back; with two heaps a bulk copy peaks at less
 * memory (docs/performance.md). The C library reads the variable when a process begins.
 */
const MEMORY = { MALLOC_ARENA_MAX: '2' };
/**
 * MiB. Young objects are looked through often, so that the buffers that hang on them are given back soon. The bound of the old ones is far above
 * what a worker needs (50 in use); V8 lets a heap grow the less between two collections the smaller it is (docs/performance.md).
 */
const HEAP = ['--max-semi-space-size=4', '--max-old-space-size=512'];

function startChild(node, program, args, longRunning) {
  return spawn(node, [NO_WARNINGS, ...(longRunning ? HEAP : []), '--import', pathToFileURL(END_WITH_PARENT).href, program, ...args], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'], env: { ...MEMORY, ...process.env } });
}

/** Begins this very process again, with the same id, so that {@link MEMORY} and {@link HEAP} hold in it; returns where that can't be or need not be done. */
function beginAgain() {
  if (HEAP.every((option) => process.execArgv.includes(option)) || process.platform !== 'linux' || process.connected || process.execve === undefined) return;
  process.execve(process.execPath, [process.execPath, NO_WARNINGS, ...HEAP, ...process.execArgv, ...process.argv.slice(1)], { ...MEMORY, ...process.env });
}

/** A terminal sends its signals to both processes; a script sends them to this one only. */
function passOn(child, signal) {
  if (signal === 'SIGINT' && process.stdin.isTTY) return;
  child.kill(signal);
}

/**
 * @param {string} node path of a Node ≥ 24
 * @param {string} program absolute path of the `.ts` file
 * @param {readonly string[]} args
 * @param {{longRunning?: boolean}} [options] longRunning: the program holds much memory for long
 */
export async function handOver(node, program, args, { longRunning = false } = {}) {
  process.env.TIDEMARK_CACHE_DIR ??= cacheFolder();
  // Compiled code is kept from run to run, of the program's first file too: without it the type stripper itself is loaded each time. Not where everybody may write.
  process.env.NODE_COMPILE_CACHE ??= join(cacheFolder(), 'compiled');
  if (node === process.execPath) {
    if (longRunning) beginAgain();
    watchLauncher(() => process.kill(process.pid, 'SIGTERM'));
    process.argv = [process.execPath, program, ...args];
    module.enableCompileCache?.(process.env.NODE_COMPILE_CACHE);
    await import(pathToFileURL(program).href);
    return;
  }
  const child = startChild(node, program, args, longRunning);
  watchLauncher(() => child.kill('SIGTERM'));
  for (const signal of SIGNALS) process.on(signal, () => passOn(child, signal));
  await new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`tidemark: ${node} can't be run (${error.code}). Remove it and run the command again.\n`);
      process.exitCode = 3;
      resolve();
    });
    child.once('exit', (code, signal) => {
      process.exitCode = code ?? 128 + (constants.signals[signal] ?? 1);
      resolve();
    });
  });
  // Nothing is left to do here, and an inherited stdin must not keep the process.
  process.exit();
}
