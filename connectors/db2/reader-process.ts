/**
 * The processes behind {@link Reader}s. Starting one and loading the driver takes 0.1 s of CPU, which a source that is polled every few seconds
 * would pay for each poll; so a process whose session was closed in order waits a while for the next session, of any source.
 * Processes that wait don't keep the worker alive, and end with it: each ends itself when its parent is gone.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Socket } from 'node:net';
import { ROWS_FD } from './reader-protocol.ts';

const IDLE_MAX = 8;
const IDLE_MS = 60_000;
/** Then a process is replaced, whatever its driver may have left behind in it. */
const SESSIONS_MAX = 500;

export interface ReaderProcess {
  readonly child: ChildProcess;
  /** Where rows arrive; paused. */
  readonly rows: Socket;
  sessions: number;
}

interface Idle {
  readonly process: ReaderProcess;
  readonly timer: NodeJS.Timeout;
  readonly onExit: () => void;
}

/** The one that has waited longest goes last, so that a fleet that shrinks lets processes go. */
const idle: Idle[] = [];

/** A process without listeners and without a connection. */
export function takeProcess(): ReaderProcess {
  const waiting = idle.pop();
  if (waiting === undefined) return startProcess();
  leaveIdle(waiting);
  setHold(waiting.process, true);
  waiting.process.sessions += 1;
  return waiting.process;
}

/** Keeps a process for the next session. Its connection is closed, nothing is under way, and the caller's listeners are gone. */
export function giveBack(process: ReaderProcess): void {
  if (idle.length >= IDLE_MAX || process.sessions >= SESSIONS_MAX || process.child.exitCode !== null || process.child.signalCode !== null) return endProcess(process);
  const waiting: Idle = {
    process,
    timer: setTimeout(() => drop(waiting), IDLE_MS).unref(),
    onExit: () => drop(waiting),
  };
  process.child.once('exit', waiting.onExit).once('error', waiting.onExit);
  process.rows.once('error', waiting.onExit);
  setHold(process, false);
  idle.push(waiting);
}

/** Ends a process at once, whatever its driver is doing. */
export function endProcess({ child, rows }: ReaderProcess): void {
  child.kill('SIGKILL');
  rows.destroy();
}

function startProcess(): ReaderProcess {
  // Without the worker's environment: it holds other sources' secrets.
  const child = fork(join(import.meta.dirname, 'reader.ts'), [], {
    env: { HOME: homedir(), LANG: 'C.UTF-8', TZ: 'UTC', DB2CODEPAGE: '1208' },
    execArgv: [],
    serialization: 'json',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc', 'pipe'],
  });
  const rows = child.stdio[ROWS_FD] as Socket;
  rows.pause();
  return { child, rows, sessions: 1 };
}

function drop(waiting: Idle): void {
  const at = idle.indexOf(waiting);
  if (at < 0) return;
  idle.splice(at, 1);
  leaveIdle(waiting);
  // A late failure of a process that is being ended concerns nobody.
  waiting.process.child.on('error', () => undefined);
  waiting.process.rows.on('error', () => undefined);
  endProcess(waiting.process);
}

function leaveIdle({ process, timer, onExit }: Idle): void {
  clearTimeout(timer);
  process.child.off('exit', onExit).off('error', onExit);
  process.rows.off('error', onExit);
}

/** Whether the process keeps ours alive. */
function setHold({ child, rows }: ReaderProcess, hold: boolean): void {
  for (const handle of [child, child.channel, rows]) {
    if (hold) handle?.ref();
    else handle?.unref();
  }
}
