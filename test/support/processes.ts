/**
 * Child processes of tests. Each leads its own process group and is known to the run's watchdog, so that none outlives
 * the run whatever happens to the test that started it.
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { openSync, closeSync, mkdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { forgetProcess, registerProcess, runFolder, signalGroup } from './run-folder.js';

export interface StartOptions {
  readonly args?: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly uid?: number;
  readonly gid?: number;
  /** File that receives standard output and standard error; without it standard output is a pipe and standard error is dropped. */
  readonly log?: string;
  /** What asks it to stop quickly and cleanly. */
  readonly stopSignal?: NodeJS.Signals;
}

export class RunningProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly #stopSignal: NodeJS.Signals;
  readonly exited: Promise<number | NodeJS.Signals>;

  constructor(child: ChildProcess, stopSignal: NodeJS.Signals) {
    if (child.pid === undefined) throw new Error(`could not start ${child.spawnfile}`);
    this.child = child;
    this.pid = child.pid;
    this.#stopSignal = stopSignal;
    this.exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? 1)));
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Ends the process and its group at once, as a power cut would. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    signalGroup(this.pid, signal);
    await this.exited;
    forgetProcess(runFolder(), this.pid);
  }

  /** Asks it to end and waits; ends it by force after `graceMs`. Returns how it ended. */
  async stop(graceMs = 15_000): Promise<number | NodeJS.Signals> {
    if (this.running) this.child.kill(this.#stopSignal);
    const timer = setTimeout(() => signalGroup(this.pid, 'SIGKILL'), graceMs);
    const end = await this.exited;
    clearTimeout(timer);
    signalGroup(this.pid, 'SIGKILL');
    forgetProcess(runFolder(), this.pid);
    return end;
  }
}

export function startProcess(command: string, options: StartOptions = {}): RunningProcess {
  const log = options.log === undefined ? null : openSync(options.log, 'a');
  const spawnOptions: SpawnOptions = {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    detached: true,
    stdio: ['ignore', log ?? 'pipe', log ?? 'ignore'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
  };
  const child = spawn(command, options.args ?? [], spawnOptions);
  child.on('error', () => undefined);
  if (log !== null) closeSync(log);
  const stopSignal = options.stopSignal ?? 'SIGTERM';
  const running = new RunningProcess(child, stopSignal);
  registerProcess(runFolder(), running.pid, stopSignal);
  child.unref();
  return running;
}

/** Runs a program to its end; throws with its log where it fails. For set-up steps, not for the program under test. */
export function runTool(command: string, args: readonly string[], options: StartOptions & { input?: string } = {}): string {
  const result = spawnSync(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.gid }),
  });
  if (result.status !== 0) throw new Error(`${command} failed: ${result.error?.message ?? ''}${result.stderr}`);
  return result.stdout;
}

/** Below the ports that systems give to connections and to `listen(0)`: there a port that waits for its server may be given away meanwhile. */
const PORTS = { first: 12_000, last: 32_000 };
const PORT_TRIES_MAX = 100;

/** A port of 127.0.0.1 that was free a moment ago, that nothing gets by chance, and that no other test of the run is given: one that is to stay closed does. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < PORT_TRIES_MAX; tries += 1) {
    const port = randomInt(PORTS.first, PORTS.last);
    if (isNew(port) && (await isFree(port))) return port;
  }
  throw new Error(`${PORT_TRIES_MAX} ports from ${PORTS.first} to ${PORTS.last} are taken`);
}

/** False where the run has given it away. A folder is made by one process only. */
function isNew(port: number): boolean {
  try {
    mkdirSync(join(runFolder(), `port-${port}`));
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Asks until the answer is not null; throws with `what` and the log's end after `timeoutMs`. */
export async function waitFor<T>(what: string, ask: () => Promise<T | null> | T | null, timeoutMs = 60_000, log?: string): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs / 1000} s for ${what}${log === undefined ? '' : `:\n${logTail(log)}`}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export function logTail(file: string, characters = 4000): string {
  try {
    return readFileSync(file, 'utf8').slice(-characters);
  } catch {
    return '';
  }
}

/** Ids of an operating system user, for servers that refuse to run as root; null where this process is not root. */
export function serverUser(names: readonly string[]): { uid: number; gid: number } | null {
  if (process.getuid?.() !== 0) return null;
  const users = new Map(readFileSync('/etc/passwd', 'utf8').split('\n').map((line) => line.split(':')).map((fields) => [fields[0], fields] as const));
  for (const name of names) {
    const fields = users.get(name);
    if (fields !== undefined) return { uid: Number(fields[2]), gid: Number(fields[3]) };
  }
  throw new Error(`none of the users ${names.join(', ')} exists`);
}
