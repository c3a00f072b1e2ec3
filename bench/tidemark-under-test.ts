/** Tidemark as a user has it, with what it costs: worker process, Temporal server, command line. */
import { exportHistory, listWorkflows, sharedTemporal } from '../test/support/temporal.ts';
import { Tidemark, type Document } from '../test/support/tidemark.ts';
import type { Measured } from './bench-case.ts';
import { cpuSeconds, forgetPeak, peakMib } from './process-meter.ts';
import { timed } from './shell.ts';

/** What `sync --json` tells beside the fields that tests read. */
interface SyncDocument extends Document {
  readonly seconds?: number;
}

export class TidemarkUnderTest {
  readonly tidemark: Tidemark;

  private constructor(tidemark: Tidemark) {
    this.tidemark = tidemark;
  }

  /** One worker with its configuration applied, in a namespace of its own. */
  static async start(configuration: string, variables: Readonly<Record<string, string>>): Promise<TidemarkUnderTest> {
    const tidemark = await Tidemark.start(configuration, { NODE_ENV: 'production', TIDEMARK_LOG_LEVEL: 'warn', ...variables });
    await tidemark.apply();
    return new TidemarkUnderTest(tidemark);
  }

  get workerPid(): number {
    const pid = this.tidemark.workers[0]?.pid;
    if (pid === undefined) throw new Error('no worker');
    return pid;
  }

  /** Events of all histories of this namespace. */
  async historyEvents(): Promise<number> {
    const { address } = await sharedTemporal();
    const namespace = this.tidemark.env['TEMPORAL_NAMESPACE'] ?? 'default';
    const executions = listWorkflows(address, namespace).map(({ execution }) => execution);
    return executions.reduce((sum, execution) => sum + exportHistory(address, namespace, execution).events.length, 0);
  }

  /** Runs a command that must end well and measures what it cost. */
  async measure(...args: string[]): Promise<Measured> {
    let document: SyncDocument = {};
    const cost = await this.costOf(async () => {
      document = await this.tidemark.must(...args, '--json');
    });
    const streams = document.streams ?? [];
    const sum = (field: string): number => streams.reduce((total, stream) => total + Number(Reflect.get(stream, field) ?? 0), 0);
    return { ...cost, runSeconds: document.seconds ?? null, rows: sum('read') + sum('sourceRows'), bytes: sum('bytes') };
  }

  /** What `work` costs worker and Temporal. */
  async costOf(work: () => Promise<unknown>): Promise<Omit<Measured, 'runSeconds' | 'rows' | 'bytes'>> {
    const temporal = await sharedTemporal();
    const events = await this.historyEvents();
    const before = { worker: cpuSeconds(this.workerPid), temporal: cpuSeconds(temporal.pid) };
    forgetPeak(this.workerPid);
    const seconds = await timed(work);
    const after = { worker: cpuSeconds(this.workerPid), temporal: cpuSeconds(temporal.pid) };
    return {
      seconds,
      workerCpuSeconds: after.worker - before.worker,
      temporalCpuSeconds: after.temporal - before.temporal,
      workerPeakMib: peakMib(this.workerPid),
      historyEvents: (await this.historyEvents()) - events,
    };
  }

  async stop(): Promise<void> {
    for (const worker of this.tidemark.workers) await worker.stop();
  }
}
