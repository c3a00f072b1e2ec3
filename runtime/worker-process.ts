import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { TidemarkError } from '../schemas/errors.ts';
import { processEnv } from './environment.ts';
import { endProcess, identify, type ProcessIdentity } from './process-identity.ts';
import { serverCommand } from './server-account.ts';
import { throwIfInterrupted } from './server-process.ts';
import type { Running } from './supervision.ts';

export interface WorkerProcessOptions {
  /** Script to run; `workers/main.ts` in use. */
  readonly entry: string;
  /** Added to this process's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly onSpawn?: (identity: ProcessIdentity) => void;
  /** Gives up the start; of no effect once it is ready. */
  readonly signal?: AbortSignal;
}

const PROJECT = join(import.meta.dirname, '..');
export const WORKER_ENTRY = join(PROJECT, 'workers', 'main.ts');
/** Loaded before the entry: ends the worker when the channel to this process closes, in whatever way this process ends. */
const END_WITH_PARENT = join(PROJECT, 'scripts', 'bootstrap', 'end-with-parent.js');

/** Bounds glibc's heaps, of which a worker's many threads would else have many: a bulk copy then peaks at less memory (docs/performance.md). */
const MEMORY = { MALLOC_ARENA_MAX: '2' };

/** Buffers that hang on young objects are given back soon, and the heap grows little between two collections; MiB (docs/performance.md). */
const HEAP = ['--max-semi-space-size=4', '--max-old-space-size=512'];

const READY_TIMEOUT_MS = 60_000;
const STOP_WITHIN_MS = 5_000;

function isReadyLine(line: string): boolean {
  try {
    const event: unknown = JSON.parse(line);
    return typeof event === 'object' && event !== null && Reflect.get(event, 'event') === 'worker-ready';
  } catch {
    return false;
  }
}

function untilReady(child: ChildProcess, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (how: string): void => reject(new TidemarkError('up.server_failed', `The worker did not get ready (${how}).`, { hint: 'Its log lines above tell more.' }));
    const timer = setTimeout(() => fail(`${READY_TIMEOUT_MS / 1000} s passed`), READY_TIMEOUT_MS).unref();
    signal?.addEventListener('abort', () => fail('interrupted'), { once: true });
    child.once('error', () => fail('it could not be started'));
    child.once('exit', (code, by) => fail(by ?? `exit code ${code ?? 0}`));
    if (child.stdout === null) return;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!isReadyLine(line)) return;
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Starts a worker and waits until it polls. Its log goes to this process's stderr. Throws `up.server_failed`. */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<Running> {
  const command = serverCommand(null, process.execPath, [...HEAP, '--import', END_WITH_PARENT, options.entry], 'TERM');
  const child = spawn(command.file, [...command.args], {
    ...command.options,
    cwd: process.cwd(),
    env: { ...MEMORY, ...processEnv(), ...options.env },
    stdio: ['pipe', 'pipe', 'inherit', 'ipc'],
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', () => resolve('it could not be started'));
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code ?? 0}` : `signal ${signal}`));
  });
  const identity = child.pid === undefined ? null : identify(child.pid);
  const stop = async (): Promise<void> => {
    if (identity !== null) await endProcess(identity, ['SIGTERM'], STOP_WITHIN_MS);
  };
  if (identity !== null) options.onSpawn?.(identity);
  try {
    await untilReady(child, options.signal);
  } catch (error) {
    await stop();
    throwIfInterrupted(options.signal);
    throw error;
  }
  return { ended, stop };
}
