/**
 * The folder of one jest run: state of shared servers, and one file for each process that was started. The watchdog ends
 * those processes when the run ends, however it ends. Plain JavaScript: the watchdog runs without jest.
 */
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const RUN_FOLDER = 'TIDEMARK_TEST_RUN';

/** Folder of this run; set by the global set-up before jest starts its workers. */
export function runFolder() {
  const folder = process.env[RUN_FOLDER];
  if (!folder) throw new Error('no test run: tests start servers only under jest with this project’s configuration');
  return folder;
}

/** Start time of a process as the kernel counts it: with the id it names one process for ever. Null where unknown. */
function startedAt(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

const registered = (folder, pid) => join(folder, 'processes', `${pid}.json`);

/** Remembers a process so that the watchdog ends it if nobody did. `signal` asks it to stop quickly and cleanly. */
export function registerProcess(folder, pid, signal) {
  mkdirSync(join(folder, 'processes'), { recursive: true });
  writeFileSync(registered(folder, pid), JSON.stringify({ pid, signal, started: startedAt(pid) }));
}

export function forgetProcess(folder, pid) {
  rmSync(registered(folder, pid), { force: true });
}

/** Signals the process and its group; false if it is gone (a zombie counts as gone). */
export function signalGroup(pid, signal) {
  try {
    process.kill(-pid, signal);
    return true;
  } catch {
    return false;
  }
}

function stillRuns({ pid, started }) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  const now = startedAt(pid);
  return started === null || now === null || now === started;
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Ends what is still registered: first gently, then by SIGKILL; then removes the folder. */
export async function endRun(folder) {
  let entries = [];
  try {
    entries = readdirSync(join(folder, 'processes')).map((file) => JSON.parse(readFileSync(join(folder, 'processes', file), 'utf8')));
  } catch {
    // Nothing was started.
  }
  const running = entries.filter(stillRuns);
  for (const { pid, signal } of running) signalGroup(pid, signal);
  for (let waits = 0; waits < 80 && running.some(stillRuns); waits += 1) await sleep(100);
  for (const entry of running.filter(stillRuns)) signalGroup(entry.pid, 'SIGKILL');
  rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
}
