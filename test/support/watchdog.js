/**
 * Lives beside one jest run: `node watchdog.js FOLDER`. Its standard input is a pipe from jest; when that ends (jest ended, or was
 * killed, at whatever moment) it stops all servers of the run and removes the folder. Nothing outlives a run.
 */
import { endRun } from './run-folder.js';

const folder = process.argv[2];
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.resume();
process.stdin.on('error', () => {});
process.stdin.on('close', () => {
  endRun(folder).then(
    () => process.exit(0),
    () => process.exit(1),
  );
});
