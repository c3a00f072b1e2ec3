/** Runs a TypeScript program of this project under Node 24 as if this process were it: same terminal, signals and exit code. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { cacheFolder } from './cache.js';
import { watchLauncher } from './launcher-watch.js';

const END_WITH_PARENT = fileURLToPath(new URL('./end-with-parent.js', import.meta.url));
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
const NO_WARNINGS = '--disable-warning=ExperimentalWarning';

function startChild(node, program, args) {
  return spawn(node, [NO_WARNINGS, '--import', pathToFileURL(END_WITH_PARENT).href, program, ...args], { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] });
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
 */
export async function handOver(node, program, args) {
  process.env.TIDEMARK_CACHE_DIR ??= cacheFolder();
  if (node === process.execPath) {
    watchLauncher(() => process.kill(process.pid, 'SIGTERM'));
    process.argv = [process.execPath, program, ...args];
    await import(pathToFileURL(program).href);
    return;
  }
  const child = startChild(node, program, args);
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
