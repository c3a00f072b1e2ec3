/**
 * A process id alone does not name a process: after a crash or a restart of the machine another one may have it. The identity adds
 * when the process began.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque; equal only for the same process on the same boot of the machine. */
  readonly began: string;
}

const CHECK_INTERVAL_MS = 50;

function beganOnLinux(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\)/s, '').trim().split(' ');
    const state = fields[0];
    // A zombie has ended; only its parent has not asked yet.
    if (state === 'Z' || state === 'X') return null;
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
    return `${boot}/${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}

function beganElsewhere(pid: number): string | null {
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim() || null;
  } catch {
    return null;
  }
}

/** Null if no such process lives. */
export function identify(pid: number): ProcessIdentity | null {
  const began = process.platform === 'linux' ? beganOnLinux(pid) : beganElsewhere(pid);
  return began === null ? null : { pid, began };
}

export function lives(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.began === identity.began;
}

async function ended(identity: ProcessIdentity, withinMs: number): Promise<boolean> {
  for (let waitedMs = 0; waitedMs <= withinMs; waitedMs += CHECK_INTERVAL_MS) {
    if (!lives(identity)) return true;
    await sleep(CHECK_INTERVAL_MS);
  }
  return !lives(identity);
}

/**
 * Ends a process: each signal in turn, waiting up to `withinMs` after each, SIGKILL at last. Resolves when it is gone; does nothing
 * if it is gone already. Never signals another process that got the same id.
 */
export async function endProcess(identity: ProcessIdentity, signals: readonly NodeJS.Signals[], withinMs: number): Promise<void> {
  for (const signal of [...signals, 'SIGKILL' as const]) {
    if (!lives(identity)) return;
    try {
      process.kill(identity.pid, signal);
    } catch {
      // Gone between the look and the signal.
    }
    if (await ended(identity, withinMs)) return;
  }
}
