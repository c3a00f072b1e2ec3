/** jest's global set-up: the folder of the run and its watchdog. Starts no server; the first test that needs one does. */
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RUN_FOLDER } from './run-folder.js';

export default async function runStart() {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-test-'));
  // Servers that refuse to run as root run as another user, who has to get in.
  chmodSync(folder, 0o755);
  process.env[RUN_FOLDER] = folder;
  const script = join(import.meta.dirname, 'watchdog.js');
  const watchdog = spawn(process.execPath, [script, folder], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
  watchdog.unref();
  watchdog.stdin.unref?.();
  globalThis.tidemarkWatchdog = watchdog;
}
