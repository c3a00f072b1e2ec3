/** Plays a schedule of faults against everything at once: a source that is written to, two workers, a Temporal and a destination of its own. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { PrivatePostgres } from '../../support/postgres.ts';
import type { PostgresDatabase } from '../../support/postgres.ts';
import { waitFor } from '../../support/processes.ts';
import { onFileEnd } from '../../support/release.ts';
import { signalGroup } from '../../support/run-folder.js';
import { scratchFolder } from '../../support/shared-server.ts';
import { startTemporal } from '../../support/temporal.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { Tidemark } from '../../support/tidemark.ts';
import { differences } from '../fault-run.ts';
import { DURABLE, dumpTarget } from '../fault-source.ts';
import type { FaultEngine, OwnSource } from '../fault-source.ts';
import { leftBehind, ledgerFaults } from '../invariants.ts';
import { describeFault } from './schedule.ts';
import type { ScheduledFault, Victim } from './schedule.ts';
import { ACCOUNTS, ACCOUNTS_SUM, ChaosWriter, TABLES } from './writer.ts';

const SOURCE = 'chaos';
const INSTALL_FAULT = pathToFileURL(join(import.meta.dirname, '..', 'install-fault.js')).href;
const LOOK_MS = 250;
const HEAL_PATIENCE_MS = 240_000;
const QUIET_SYNCS = 2;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

type TemporalProcess = Awaited<ReturnType<typeof startTemporal>>;

export interface ChaosOptions {
  readonly engine: FaultEngine;
  readonly seed: number;
  /** On top, for the workers. */
  readonly env?: Readonly<Record<string, string>>;
  readonly say: (line: string) => void;
}

export class ChaosRun {
  readonly #options: ChaosOptions;
  readonly #source: OwnSource;
  readonly #server: PrivatePostgres;
  readonly #target: PostgresDatabase;
  readonly #lines: { readonly source: TcpProxy; readonly destination: TcpProxy };
  readonly #folder: string;
  readonly #temporalFolder: string;
  #temporal: TemporalProcess;
  readonly #tidemark: Tidemark;
  readonly #writer: ChaosWriter;
  /** Numbers of the workers of both slots, from 1; null: dead until healed. */
  readonly #slots: (number | null)[] = [null, null];
  /** What readers of the destination have seen that must never be. */
  readonly #seen: string[] = [];
  #over = false;

  private constructor(options: ChaosOptions, source: OwnSource, server: PrivatePostgres, target: PostgresDatabase, lines: { source: TcpProxy; destination: TcpProxy }, temporal: TemporalProcess, temporalFolder: string) {
    [this.#options, this.#source, this.#server, this.#target, this.#lines] = [options, source, server, target, lines];
    [this.#temporal, this.#temporalFolder, this.#folder] = [temporal, temporalFolder, scratchFolder('chaos')];
    const url = new URL(target.url);
    [url.hostname, url.port] = [lines.destination.host, String(lines.destination.port)];
    const env = { ...source.secrets, ...options.env, TEMPORAL_ADDRESS: temporal.address, TEMPORAL_NAMESPACE: 'default', DESTINATION_URL: url.href };
    this.#tidemark = new Tidemark(configurationOf(options.engine, source, lines.source), env);
    this.#writer = new ChaosWriter(options.engine, source, options.seed);
  }

  static async start(options: ChaosOptions): Promise<ChaosRun> {
    const source = await options.engine.own();
    const server = await PrivatePostgres.start(DURABLE.postgres);
    const target = await server.createDatabase('target');
    const lines = { source: await TcpProxy.before(source.address), destination: await TcpProxy.before(target.server) };
    const temporalFolder = scratchFolder('temporal');
    const run = new ChaosRun(options, source, server, target, lines, await startTemporal(temporalFolder), temporalFolder);
    onFileEnd(async () => void (await run.#temporal.process.stop()));
    await run.#writer.prepare();
    await Promise.all(run.#slots.map((_, slot) => run.#startWorker(slot)));
    await Promise.all(run.#slots.map((_, slot) => run.#tidemark.workerReady(slot + 1)));
    await run.#tidemark.apply();
    await run.#tidemark.syncAll();
    return run;
  }

  /** Plays the schedule, heals all, lets the writer end, syncs to the end. Returns what does not hold, in words. */
  async play(schedule: readonly ScheduledFault[], forMs: number): Promise<string[]> {
    this.#writer.start();
    const watching = [this.#superviseWorkers(), this.#readAccounts()];
    const began = Date.now();
    const until = (ms: number) => sleep(Math.max(0, began + ms - Date.now()));
    await Promise.all([
      until(forMs),
      ...schedule.map(async (fault) => {
        await until(fault.atMs);
        this.#options.say(describeFault(fault));
        const heal = await this.#injure(fault);
        await until(fault.healAtMs);
        await heal();
      }),
    ]);
    await this.#writer.stop();
    this.#disarm();
    await this.#settle();
    this.#over = true;
    await Promise.all(watching);
    this.#options.say(`chaos: ${this.#writer.writes} writes, ${this.#writer.acknowledged.size} of the list acknowledged, ${this.#tidemark.workers.length} workers, ${schedule.length} faults`);
    return this.#faults();
  }

  async #injure(fault: ScheduledFault): Promise<() => Promise<void>> {
    const { victim, injury } = fault;
    if (injury.kind === 'line') return this.#hurtLine(victim === 'source' || victim === "the source's line" ? this.#lines.source : this.#lines.destination, injury.toxic);
    if (injury.kind === 'kill at') {
      this.#arm(injury.phase);
      return async () => this.#disarm();
    }
    if (injury.kind === 'restart') return this.#restart(victim);
    const slot = victim === 'worker 1' ? 0 : 1;
    const worker = this.#tidemark.workers[(this.#slots[slot] ?? 0) - 1];
    if (worker === undefined) return async () => undefined;
    if (injury.kind === 'stop') {
      signalGroup(worker.pid, 'SIGSTOP');
      return async () => void signalGroup(worker.pid, 'SIGCONT');
    }
    this.#slots[slot] = null;
    await worker.kill();
    return () => this.#startWorker(slot);
  }

  async #hurtLine(line: TcpProxy, toxic: Parameters<TcpProxy['set']>[0]): Promise<() => Promise<void>> {
    line.set(toxic);
    return async () => line.set(null);
  }

  async #restart(victim: Victim): Promise<() => Promise<void>> {
    if (victim === 'source') {
      await this.#source.kill();
      return () => this.#source.restart();
    }
    if (victim === 'destination') {
      await this.#server.stopAtOnce();
      return () => this.#server.restart();
    }
    await this.#temporal.process.kill();
    return async () => void (this.#temporal = await startTemporal(this.#temporalFolder, [], this.#temporal));
  }

  #arm(phase: string): void {
    rmSync(join(this.#folder, 'fired.json'), { force: true });
    writeFileSync(join(this.#folder, 'armed.new'), JSON.stringify({ phase, action: 'kill' }));
    renameSync(join(this.#folder, 'armed.new'), join(this.#folder, 'armed.json'));
  }

  #disarm(): void {
    rmSync(join(this.#folder, 'armed.json'), { force: true });
  }

  async #startWorker(slot: number): Promise<void> {
    this.#tidemark.startWorker({ TIDEMARK_FAULT_FOLDER: this.#folder, NODE_OPTIONS: [`--import ${INSTALL_FAULT}`, this.#options.env?.['NODE_OPTIONS'] ?? ''].join(' ').trim() });
    this.#slots[slot] = this.#tidemark.workers.length;
  }

  /** As a service manager: what ended by itself is started again. A worker that can't start while its servers are away ends and is started again, too. */
  async #superviseWorkers(): Promise<void> {
    while (!this.#over) {
      for (const [slot, number] of this.#slots.entries()) if (number !== null && this.#tidemark.workers[number - 1]?.running === false) await this.#startWorker(slot);
      await sleep(LOOK_MS * 4);
    }
  }

  /** I7: whoever reads the destination at any moment sees every transfer as a whole. */
  async #readAccounts(): Promise<void> {
    while (!this.#over) {
      const row = await this.#target.query(`SELECT sum(amount)::numeric(14,2) AS sum, count(*) AS count FROM ${SOURCE}.account`).catch(() => []);
      if (row[0] !== undefined && this.#options.engine.exact && (row[0]['count'] !== String(ACCOUNTS) || row[0]['sum'] !== ACCOUNTS_SUM)) this.#seen.push(`a reader saw accounts of ${row[0]['sum']} in all`);
      await sleep(LOOK_MS);
    }
  }

  /** Syncs until all is completed, then twice more. What waits for a person is told, and tried again as its hint says. */
  async #settle(): Promise<void> {
    let last = '';
    await waitFor('all streams to complete', async () => {
      const { code, json, stdout, stderr } = await this.#tidemark.run('sync', '--all', '--json');
      if (code === 0) return true;
      last = `${stdout.slice(0, 2000)}\n${stderr.slice(-500)}`;
      for (const { stream, status, error } of json?.streams ?? []) {
        if (status !== 'parked') continue;
        if (!error?.code || !error.hint) throw new Error(`${stream} is parked and does not say why`);
        this.#options.say(`chaos: ${stream} is parked: ${error.code}; trying it again`);
        await this.#tidemark.run('retry', SOURCE, '--stream', stream, '--json');
      }
      return null;
    }, HEAL_PATIENCE_MS).catch((error: Error) => {
      throw new Error(`${error.message}\n${last}\n${this.#tidemark.workerTails().slice(-6000)}`);
    });
    for (let quiet = 0; quiet < QUIET_SYNCS; quiet += 1) await this.#tidemark.syncAll();
  }

  async #faults(): Promise<string[]> {
    const found = [...new Set(this.#seen)].slice(0, 3);
    for (const table of TABLES) {
      const [left, right] = [await this.#source.dump(table), await dumpTarget(this.#target, `${SOURCE}.${table}`)];
      found.push(...differences(left, right).map((difference) => `${table}: ${difference}`));
      found.push(...(await ledgerFaults(this.#target, SOURCE, table, null)).map((fault) => `${table}: ${fault}`));
    }
    const arrived = new Set((await this.#target.query(`SELECT id FROM ${SOURCE}.entry`)).map(({ id }) => Number(id)));
    const lost = [...this.#writer.acknowledged].filter((id) => !arrived.has(id));
    if (lost.length > 0) found.push(`${lost.length} acknowledged writes are lost, the first of them ${lost[0]}`);
    if ((await this.#target.value(`SELECT sum(amount)::numeric(14,2) FROM ${SOURCE}.account`)) !== ACCOUNTS_SUM) found.push('money was lost or made');
    await this.#tidemark.run('pause', SOURCE, '--json');
    return [...found, ...(await leftBehind(this.#target))];
  }
}

function configurationOf(engine: FaultEngine, source: OwnSource, line: TcpProxy): string {
  const streams = TABLES.map((table) => `      - { table: ${table}, cursor: ${engine.folded('changed_at')}, key: [${engine.folded('id')}], target: ${SOURCE}.${table} }`);
  return `destination: { url: "\${DESTINATION_URL}" }
defaults:
  poll_interval: 2s
  breaker: { failures: 5, cooldown: 5s, successes: 1 }
${engine.exact ? '  overlap: 0s\n' : ''}sources:
  - id: ${SOURCE}
    kind: ${engine.kind}
    connection: ${source.connection(line)}
    streams:
${streams.join('\n')}
`;
}
