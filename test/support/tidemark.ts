/**
 * Tidemark from outside, as a user has it: its command line, its workers as processes, its files. Nothing here imports its code.
 */
import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from './describe-with.ts';
import { freePort, logTail, startProcess, waitFor } from './processes.ts';
import type { RunningProcess } from './processes.ts';
import { onFileEnd } from './release.ts';
import { scratchFolder } from './shared-server.ts';
import { temporalNamespace } from './temporal.ts';

const PROGRAM = join(repositoryRoot, 'scripts', 'tidemark.js');

export interface ErrorInfo {
  readonly code: string;
  readonly message: string;
  readonly hint: string | null;
  readonly path?: string;
}

export interface StreamResult {
  readonly source: string;
  readonly stream: string;
  readonly target: string;
  readonly status: string;
  readonly mode: string;
  readonly runId: string;
  readonly batches: number;
  readonly read: number;
  readonly written: number;
  readonly unchanged: number;
  readonly rejected: number;
  readonly superseded: number;
  readonly deleted: number;
  readonly watermark: { readonly from: string | null; readonly to: string | null };
  readonly error: ErrorInfo | null;
}

/** The documents of cli.md that tests read; what a command does not have is undefined. */
export interface Document {
  readonly ok?: boolean;
  readonly error?: ErrorInfo;
  readonly streams?: readonly StreamResult[];
  readonly results?: readonly { readonly id: string; readonly isConnected: boolean; readonly error: ErrorInfo | null }[];
  readonly changes?: readonly { readonly id: string; readonly action: string; readonly object: string; readonly destructive: boolean }[];
  readonly runs?: readonly { readonly runId: string; readonly source: string; readonly status: string; readonly read: number; readonly written: number; readonly startedAt: string; readonly endedAt: string | null }[];
  readonly batches?: readonly Readonly<Record<string, unknown>>[];
}

export interface CommandResult {
  readonly code: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
  /** The document on standard output; null where it is none. */
  readonly json: Document | null;
}

function parsed(text: string): Document | null {
  try {
    return JSON.parse(text) as Document;
  } catch {
    return null;
  }
}

type Variables = Readonly<Record<string, string | undefined>>;

export class Tidemark {
  /** Holds the configuration, the data directory, and all that commands and workers printed. */
  readonly folder = scratchFolder('tidemark');
  readonly configFile = join(this.folder, 'tidemark.yaml');
  readonly dataFolder = join(this.folder, 'data');
  readonly workers: RunningProcess[] = [];
  readonly env: Record<string, string | undefined>;

  constructor(configuration: string, env: Variables) {
    mkdirSync(this.dataFolder);
    this.configure(configuration);
    this.env = { NODE_ENV: 'test', NO_COLOR: '1', TEMPORAL_ADDRESS: undefined, ...env, TIDEMARK_CONFIG: this.configFile, TIDEMARK_DATA_DIR: this.dataFolder };
  }

  /** Variables that lead to a namespace of the run's shared Temporal. */
  static async temporal(): Promise<Record<string, string>> {
    const { address, namespace } = await temporalNamespace();
    return { TEMPORAL_ADDRESS: address, TEMPORAL_NAMESPACE: namespace };
  }

  /** A namespace of the run's shared Temporal and `workers` worker processes. */
  static async start(configuration: string, env: Variables, workers = 1): Promise<Tidemark> {
    const tidemark = new Tidemark(configuration, { ...env, ...(await Tidemark.temporal()) });
    for (let index = 0; index < workers; index += 1) tidemark.startWorker();
    await Promise.all(tidemark.workers.map((_, index) => tidemark.workerReady(index + 1)));
    return tidemark;
  }

  /** Resolves when worker `number` (from 1) polls; throws with its log where it ended instead. */
  async workerReady(number: number): Promise<void> {
    const log = this.#workerLog(number);
    await waitFor(`worker ${number}`, () => {
      if (this.workers[number - 1]?.running !== true) throw new Error(`worker ${number} ended:\n${logTail(log)}`);
      return readFileSync(log, 'utf8').includes('"event":"worker-ready"') ? true : null;
    }, 120_000, log);
  }

  #workerLog(number: number): string {
    return join(this.folder, `worker-${number}.log`);
  }

  /** `tidemark up`, with a Temporal of its own; resolves when it says that it is ready. */
  static async up(configuration: string, env: Variables): Promise<{ tidemark: Tidemark; up: RunningProcess; ready: { temporal: string; ui: string; namespace: string; pid: number } }> {
    const tidemark = new Tidemark(configuration, env);
    const log = join(tidemark.folder, 'up.log');
    const ports = ['--temporal-port', String(await freePort()), '--ui-port', String(await freePort())];
    const args = [PROGRAM, 'up', '--config', tidemark.configFile, '--data-dir', tidemark.dataFolder, ...ports];
    const up = startProcess(process.execPath, { args, env: tidemark.env, cwd: tidemark.folder, log });
    onFileEnd(async () => void (await up.stop()));
    const line = await waitFor('`up` to be ready', () => {
      if (!up.running) throw new Error(`up ended:\n${logTail(log)}`);
      return /^\{"event":"ready".*\}$/m.exec(readFileSync(log, 'utf8'))?.[0] ?? null;
    }, 180_000, log);
    return { tidemark, up, ready: JSON.parse(line) };
  }

  configure(configuration: string): void {
    writeFileSync(this.configFile, configuration);
  }

  startWorker(env: Variables = {}): RunningProcess {
    const log = this.#workerLog(this.workers.length + 1);
    const worker = startProcess(process.execPath, { args: [PROGRAM, 'worker'], env: { ...this.env, ...env }, cwd: this.folder, log });
    this.workers.push(worker);
    onFileEnd(async () => void (await worker.stop()));
    return worker;
  }

  /** Runs one command to its end. Standard output and error are kept for {@link printed}. */
  async run(...args: string[]): Promise<CommandResult> {
    return this.begin(...args).result;
  }

  /** Starts a command that a test goes on beside. */
  begin(...args: string[]): { result: Promise<CommandResult>; kill: (signal: NodeJS.Signals) => void } {
    const child = spawn(process.execPath, [PROGRAM, ...args], { cwd: this.folder, env: { ...process.env, ...this.env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const out: Buffer[] = [];
    const errors: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => errors.push(chunk));
    const result = new Promise<CommandResult>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => {
        const [stdout, stderr] = [Buffer.concat(out).toString(), Buffer.concat(errors).toString()];
        appendFileSync(join(this.folder, 'commands.log'), `$ tidemark ${args.join(' ')}\n${stdout}\n${stderr}\n`);
        resolve({ code: code ?? signal ?? 1, stdout, stderr, json: parsed(stdout) });
      });
    });
    return { result, kill: (signal) => void child.kill(signal) };
  }

  /** Registers the configuration; throws with what it printed where that fails. */
  async apply(): Promise<Document> {
    return this.must('apply', '--yes', '--json');
  }

  /** One run of all sources that must end well. */
  async syncAll(...options: string[]): Promise<readonly StreamResult[]> {
    const { streams } = await this.must('sync', '--all', '--json', ...options);
    return streams ?? [];
  }

  /** Runs a command that must end with 0; returns its document. */
  async must(...args: string[]): Promise<Document> {
    const { code, json, stdout, stderr } = await this.run(...args);
    if (code === 0 && json !== null) return json;
    throw new Error(`tidemark ${args.join(' ')} ended with ${code}:\n${stdout.slice(-4000)}\n${stderr.slice(-2000)}\n${this.workerTails()}`);
  }

  /** The end of each worker's log, for the message of a test that failed. */
  workerTails(): string {
    return this.workers.map((_, index) => `worker ${index + 1}:\n${logTail(this.#workerLog(index + 1), 1500)}`).join('\n');
  }

  /** Everything that commands, workers and `up` printed or wrote to log files, by file. */
  printed(): Map<string, string> {
    const logs = new Map<string, string>();
    const gather = (folder: string) => {
      for (const entry of readdirSync(folder, { withFileTypes: true })) {
        const path = join(folder, entry.name);
        if (entry.isDirectory() && !['base', 'pg_wal'].includes(entry.name)) gather(path);
        else if (entry.name.endsWith('.log')) logs.set(path, readFileSync(path, 'utf8'));
      }
    };
    if (existsSync(this.folder)) gather(this.folder);
    return logs;
  }
}

/** The result of one stream of a sync. */
export function streamOf(streams: readonly StreamResult[] | undefined, name: string): StreamResult {
  const found = streams?.find(({ stream }) => stream === name || stream.endsWith(`.${name}`));
  if (found === undefined) throw new Error(`no stream ${name} in ${JSON.stringify(streams)}`);
  return found;
}
