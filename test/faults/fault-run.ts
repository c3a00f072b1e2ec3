/**
 * One stream of one source under Tidemark's command line, with a worker in which faults fall at exact places, and what must hold once
 * all is healed: invariants I1 to I10 of a sync, each by SQL of the test's own.
 */
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { PostgresDatabase } from '../support/postgres.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import type { RunningProcess } from '../support/processes.ts';
import { signalGroup } from '../support/run-folder.js';
import { scratchFolder } from '../support/shared-server.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { CommandResult } from '../support/tidemark.ts';
import { changeRows, dumpTarget, insertRows, tableSql } from './fault-source.ts';
import type { Address, FaultEngine, FaultSource } from './fault-source.ts';
import { leftBehind, ledgerFaults } from './invariants.ts';

export const SOURCE = 'shop';
export const TABLE = 'item';
export const ROWS = 600;
/** Several batches and parts in each sync. */
export const BATCH_ROWS = 200;

const INSTALL_FAULT = pathToFileURL(join(import.meta.dirname, 'install-fault.js')).href;
const PATIENCE_MS = 150_000;

export interface Fault {
  readonly phase: 'P0' | 'P1' | 'P3' | 'P4' | 'P5' | 'P6' | 'P7' | 'P8' | 'P9' | 'PD';
  /** The activity, or the kind of change of the destination's tables. */
  readonly place?: string;
  /** The first time it is reached by default. */
  readonly nth?: number;
  readonly action: 'kill' | 'stop' | 'hold' | 'clock';
  readonly milliseconds?: number;
}

export interface FaultRunOptions {
  readonly engine: FaultEngine;
  readonly source: FaultSource;
  readonly target?: PostgresDatabase;
  /** Where a proxy stands before one of them. */
  readonly sourceAt?: Address;
  readonly targetUrl?: string;
  /** Of a Temporal of the case's own. */
  readonly temporal?: Readonly<Record<string, string>>;
  readonly defaults?: string;
  /** The worker's, on top. */
  readonly env?: Readonly<Record<string, string>>;
}

export class FaultRun {
  readonly engine: FaultEngine;
  readonly source: FaultSource;
  readonly target: PostgresDatabase;
  readonly tidemark: Tidemark;
  readonly #faults: string;
  readonly #workerEnv: Readonly<Record<string, string>>;
  /** What the ledger must have written when all is well: each row and each change once. */
  written = 0;

  private constructor(options: FaultRunOptions, target: PostgresDatabase) {
    this.engine = options.engine;
    this.source = options.source;
    this.target = target;
    this.#faults = scratchFolder('fault');
    this.#workerEnv = options.env ?? {};
    const configuration = configurationOf(options);
    const env = { ...options.source.secrets, ...options.temporal, DESTINATION_URL: options.targetUrl ?? target.url };
    this.tidemark = new Tidemark(configuration, env);
  }

  /** Makes the table with {@link ROWS} rows, starts a worker and applies the stream. Nothing is synced yet. */
  static async start(options: FaultRunOptions): Promise<FaultRun> {
    const target = options.target ?? (await createDatabase('target'));
    const temporal = options.temporal ?? (await Tidemark.temporal());
    const run = new FaultRun({ ...options, temporal }, target);
    await options.source.run(tableSql(options.engine, TABLE));
    await run.insert(1, ROWS);
    await run.startWorker();
    await run.tidemark.apply();
    return run;
  }

  async insert(from: number, to: number): Promise<void> {
    await insertRows(this.engine, this.source, TABLE, from, to);
    this.written += to - from + 1;
  }

  async change(from: number, to: number, name: string): Promise<void> {
    await changeRows(this.engine, this.source, TABLE, from, to, name);
    this.written += to - from + 1;
  }

  /** `env`: this one's own, on top. */
  async startWorker(env: Readonly<Record<string, string>> = {}): Promise<RunningProcess> {
    const options = [`--import ${INSTALL_FAULT}`, this.#workerEnv['NODE_OPTIONS'], env['NODE_OPTIONS']].filter(Boolean).join(' ');
    const worker = this.tidemark.startWorker({ ...this.#workerEnv, ...env, TIDEMARK_FAULT_FOLDER: this.#faults, NODE_OPTIONS: options });
    await this.tidemark.workerReady(this.tidemark.workers.length);
    return worker;
  }

  /** The latest worker. */
  get worker(): RunningProcess {
    const worker = this.tidemark.workers.at(-1);
    if (worker === undefined) throw new Error('no worker');
    return worker;
  }

  arm(fault: Fault): void {
    for (const file of ['fired.json', 'go-on']) rmSync(join(this.#faults, file), { force: true });
    writeFileSync(join(this.#faults, 'armed.new'), JSON.stringify(fault));
    renameSync(join(this.#faults, 'armed.new'), join(this.#faults, 'armed.json'));
  }

  get fired(): boolean {
    return existsSync(join(this.#faults, 'fired.json'));
  }

  /** Resolves when the armed fault has fallen; throws, with what the sync said, where that ended without it. */
  async reached(running?: Promise<CommandResult>): Promise<void> {
    const ended: { with: CommandResult | null } = { with: null };
    void running?.then((result) => (ended.with = result), () => undefined);
    await waitFor('the fault to fall', () => {
      if (this.fired) return true;
      if (ended.with !== null) throw new Error(`the sync ended and ${readFileSync(join(this.#faults, 'armed.json'), 'utf8')} never fell: ${ended.with.stdout.slice(0, 1000)}${ended.with.stderr.slice(-500)}\n${this.tidemark.workerTails()}`);
      return null;
    }, PATIENCE_MS);
  }

  /** Lets an attempt that is held go on. */
  goOn(): void {
    writeFileSync(join(this.#faults, 'go-on'), '');
  }

  /** Wakes up a worker that was stopped. */
  wake(worker: RunningProcess): void {
    signalGroup(worker.pid, 'SIGCONT');
  }

  begin(...options: string[]): Promise<CommandResult> {
    return this.tidemark.begin('sync', SOURCE, '--json', ...options).result;
  }

  /** Syncs to the end; throws what went wrong. */
  async sync(...options: string[]): Promise<void> {
    await this.completed(this.begin(...options));
  }

  /** Of a sync that may have failed while the fault was there: it says so, and another one goes on. */
  async healed(running: Promise<CommandResult>): Promise<void> {
    const result = await running;
    if (result.code === 0) return this.completed(Promise.resolve(result));
    const wrong = [...(result.json?.streams ?? []).map(({ error }) => error), result.json?.error ?? null].some((error) => error !== null && error !== undefined && error.code !== '' && error.message !== '');
    if (!wrong) throw new Error(`the sync ended with ${result.code} and no reason: ${result.stdout.slice(0, 1000)}\n${result.stderr.slice(-1000)}`);
    // As the service manager that looks after workers does.
    if (!this.worker.running) await this.startWorker();
    await this.settled();
  }

  /** Syncs until one completes: what a schedule does. A stream that waits for a person fails the case. */
  async settled(): Promise<void> {
    const tries: string[] = [];
    await waitFor('a sync that completes', async () => {
      const { code, json, stdout, stderr } = await this.tidemark.run('sync', SOURCE, '--json');
      if (code === 0) return true;
      const statuses = (json?.streams ?? []).map(({ status, error }) => `${status} ${error?.code ?? ''}`);
      tries.push(statuses.join(', ') || `${stdout.slice(0, 300)}${stderr.slice(-300)}`);
      if (statuses.some((status) => /^(parked|history_lost)/.test(status))) throw new Error(`the stream waits for a person:\n${tries.join('\n')}\n${this.tidemark.workerTails()}`);
      return null;
    }, PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${error.message}\n${tries.join('\n')}`);
    });
  }

  async completed(running: Promise<CommandResult>): Promise<void> {
    const { code, json, stdout, stderr } = await running;
    const statuses = json?.streams?.map(({ status }) => status) ?? [];
    if (code !== 0 || statuses.some((status) => status !== 'completed')) throw new Error(`sync ended with ${code}, ${statuses.join(', ')}:\n${stdout.slice(0, 3000)}\n${stderr.slice(-1000)}\n${this.tidemark.workerTails()}`);
  }

  /** Something happens while an attempt is held at one place of a sync; in the end the stream is completed, by this sync or by another. */
  async disturbedAt(fault: Omit<Fault, 'action'>, disturb: () => Promise<void>, ...options: string[]): Promise<void> {
    this.arm({ ...fault, action: 'hold' });
    const running = this.begin(...options);
    await this.reached(running);
    await disturb();
    this.goOn();
    await this.healed(running);
  }

  /** A kill -9 at one place of a sync, and a new worker in the place of the dead one. */
  async killedAt(fault: Omit<Fault, 'action'>, ...options: string[]): Promise<void> {
    this.arm({ ...fault, action: 'kill' });
    const running = this.begin(...options);
    const victim = this.worker;
    await this.reached(running);
    await victim.exited;
    await this.startWorker();
    await this.completed(running);
  }

  /** What does not hold now that all is healed, in words; empty where everything does. */
  async faults(counts: 'exact' | 'at most' = 'exact'): Promise<string[]> {
    const [left, right] = [await this.source.dump(TABLE), await dumpTarget(this.target, `${SOURCE}.${TABLE}`)];
    const found = differences(left, right);
    found.push(...(await ledgerFaults(this.target, SOURCE, TABLE, counts === 'exact' ? this.written : null)));
    found.push(...(await leftBehind(this.target)));
    found.push(...(await this.#statusFaults()));
    return found;
  }

  /** What the ledger says was written so far. */
  async ledgerWritten(): Promise<number> {
    return Number(await this.target.value('SELECT sum(written) FROM tidemark.ledger WHERE source = $1', [SOURCE]));
  }

  async #statusFaults(): Promise<string[]> {
    const { json } = await this.tidemark.run('status', SOURCE, '--json');
    return (json?.streams ?? []).filter(({ status }) => status !== 'completed').map(({ stream, status, error }) => `status says of ${stream}: ${status} ${error?.code ?? ''}`);
  }
}

/** The first differences of two dumps in words. */
export function differences(source: readonly string[], target: readonly string[]): string[] {
  if (source.length === 0) return ['the source has no rows'];
  const [there, here] = [new Set(source), new Set(target)];
  const found = [...source.filter((line) => !here.has(line)).slice(0, 3).map((line) => `not in the target: ${line}`), ...target.filter((line) => !there.has(line)).slice(0, 3).map((line) => `only in the target: ${line}`)];
  if (source.length !== target.length) found.push(`${source.length} rows in the source, ${target.length} in the target`);
  return found;
}

function configurationOf({ engine, source, sourceAt, defaults }: FaultRunOptions): string {
  return `destination: { url: "\${DESTINATION_URL}" }
defaults:
  poll_interval: 365d
  batch_rows: ${BATCH_ROWS}
${defaults ?? ''}sources:
  - id: ${SOURCE}
    kind: ${engine.kind}
    connection: ${source.connection(sourceAt)}
    streams:
      - { table: ${TABLE}, cursor: ${engine.folded('changed_at')}, key: [${engine.folded('id')}], target: ${SOURCE}.${TABLE} }
`;
}
