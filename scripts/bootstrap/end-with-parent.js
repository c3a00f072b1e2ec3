/**
 * Loaded with `--import` before the program of a child process that was started with an IPC channel: when the channel closes, the
 * parent is gone (killed with SIGKILL included) and the child ends itself, politely first.
 */
const HARD_END_AFTER_MS = 9_000;

if (process.connected) {
  process.once('disconnect', () => {
    process.kill(process.pid, 'SIGTERM');
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), HARD_END_AFTER_MS).unref();
  });
  // The channel alone must not keep a finished program alive.
  process.channel?.unref();
}
