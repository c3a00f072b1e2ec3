/** jest's global teardown: lets the watchdog stop all servers and waits for it. */
export default async function runEnd() {
  const watchdog = globalThis.tidemarkWatchdog;
  if (watchdog === undefined || watchdog.exitCode !== null) return;
  watchdog.ref();
  const ended = new Promise((resolve) => watchdog.once('exit', resolve));
  watchdog.stdin.end();
  await ended;
}
