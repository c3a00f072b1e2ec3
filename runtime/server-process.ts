import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidemarkError } from '../schemas/errors.ts';
import { endProcess, identify, type ProcessIdentity } from './process-identity.ts';
import type { ServerCommand } from './server-account.ts';

const READY_INTERVAL_MS = 100;
const LOG_BYTES_MAX = 10 * 1024 * 1024;

/** A server that this process started. */
export interface ServerProcess {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended, with what can be said of how: `exit code 1`, `signal SIGKILL`. Never rejects. */
  readonly ended: Promise<string>;
  stop(signals: readonly NodeJS.Signals[], withinMs: number): Promise<void>;
}

/** How every start of a server is told to give up: it ends what it began and throws `up.interrupted`. */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new TidemarkError('up.interrupted', 'Interrupted while it was starting.');
}

/** Asks `isReady` until it says yes (true), or until the server has ended, the time has passed or the signal is given (false). */
export async function untilReady(server: ServerProcess, isReady: () => Promise<boolean>, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
  let over = false;
  void server.ended.then(() => (over = true));
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline && !over && !signal?.aborted) {
    if (await isReady()) return !over;
    await sleep(READY_INTERVAL_MS);
  }
  return false;
}

/** Opens a log for appending; one that has grown large becomes `<file>.1`. */
function openLog(file: string): number {
  mkdirSync(dirname(file), { recursive: true });
  try {
    if (statSync(file).size > LOG_BYTES_MAX) renameSync(file, `${file}.1`);
  } catch {
    // The first start.
  }
  return openSync(file, 'a', 0o600);
}

/** The last lines of a log, for a person. */
export function logTail(file: string, lines = 5): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  } catch {
    return '';
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(`it did not start: ${String(Reflect.get(error, 'code') ?? error.name)}`));
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`));
  });
}

/** Starts a server whose output goes to a log file. Returns null if it ended at once. */
export function startServer(command: ServerCommand, logFile: string, env: NodeJS.ProcessEnv): ServerProcess | null {
  const log = openLog(logFile);
  try {
    const child = spawn(command.file, [...command.args], { ...command.options, env, stdio: ['ignore', log, log] });
    const ended = endOf(child);
    const identity = child.pid === undefined ? null : identify(child.pid);
    if (identity === null) return null;
    return { identity, ended, stop: (signals, withinMs) => endProcess(identity, signals, withinMs) };
  } finally {
    closeSync(log);
  }
}
