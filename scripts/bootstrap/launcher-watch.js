/**
 * npm and npx put a shell between themselves and the program, and pass signals to that shell only. So that ending npm, in whatever
 * way, ends what it started, this looks whether npm and its shell still live.
 */
import { readFileSync } from 'node:fs';

const INTERVAL_MS = 500;

function processFacts(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return { name: text.slice(text.indexOf('(') + 1, text.lastIndexOf(')')), parent: Number(text.slice(text.lastIndexOf(')') + 2).split(' ')[1]) };
  } catch {
    return null;
  }
}

/** Calls `onGone` once when the npm that launched this process has gone; does nothing where none did. */
export function watchLauncher(onGone) {
  if (!process.env.npm_command || process.ppid === 1) return;
  const shell = process.ppid;
  const facts = processFacts(shell);
  const npm = facts !== null && /^(sh|dash|bash|ash|busybox)$/.test(facts.name) ? facts.parent : null;
  const timer = setInterval(() => {
    const gone = process.ppid !== shell || (npm !== null && processFacts(shell)?.parent !== npm);
    if (!gone) return;
    clearInterval(timer);
    onGone();
  }, INTERVAL_MS);
  timer.unref();
}
