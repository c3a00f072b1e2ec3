/** Tidemark as a user has it, with what it costs: worker process, Temporal server, command line. */
import { exportHistory, listWorkflows, sharedTemporal, type HistoryEvent } from '../test/support/temporal.ts';
import { Tidemark, type Document } from '../test/support/tidemark.ts';
import type { Measured } from './bench-case.ts';
import { cpuSeconds, forgetPeak, peakMib } from './process-meter.ts';
import { timed } from './shell.ts';

/** One execution as its history has it. */
interface Execution {
  readonly workflowId: string;
  readonly runId: string;
  /** No other workflow started it. */
  readonly onTop: boolean;
  readonly events: readonly HistoryEvent[];
}

const MS_PER_SECOND = 1000;

type Cost = Omit<Measured, 'rows' | 'bytes'>;

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

  /** All executions of this namespace. */
  async #executions(): Promise<readonly Execution[]> {
    const { address } = await sharedTemporal();
    const namespace = this.tidemark.env['TEMPORAL_NAMESPACE'] ?? 'default';
    return listWorkflows(address, namespace).map(({ execution, parentExecution }) => ({ ...execution, onTop: (parentExecution ?? null) === null, events: exportHistory(address, namespace, execution).events }));
  }

  /** Runs a command that must end well and measures what it cost. */
  async measure(...args: string[]): Promise<Measured> {
    let document: Document = {};
    const cost = await this.costOf(async () => {
      document = await this.tidemark.must(...args, '--json');
    });
    const streams = document.streams ?? [];
    const sum = (field: string): number => streams.reduce((total, stream) => total + Number(Reflect.get(stream, field) ?? 0), 0);
    return { ...cost, rows: sum('read') + sum('sourceRows'), bytes: sum('bytes') };
  }

  /** What `work` costs worker and Temporal. */
  async costOf(work: () => Promise<unknown>): Promise<Cost> {
    const temporal = await sharedTemporal();
    const executions = await this.#executions();
    const before = { worker: cpuSeconds(this.workerPid), temporal: cpuSeconds(temporal.pid) };
    forgetPeak(this.workerPid);
    const seconds = await timed(work);
    const after = { worker: cpuSeconds(this.workerPid), temporal: cpuSeconds(temporal.pid) };
    const workerPeakMib = peakMib(this.workerPid);
    const all = await this.#executions();
    const known = new Set(executions.map(({ runId }) => runId));
    return {
      seconds,
      runSeconds: runSeconds(all.filter(({ runId, onTop }) => onTop && !known.has(runId))),
      workerCpuSeconds: after.worker - before.worker,
      temporalCpuSeconds: after.temporal - before.temporal,
      workerPeakMib,
      historyEvents: countEvents(all) - countEvents(executions),
    };
  }

  async stop(): Promise<void> {
    for (const worker of this.tidemark.workers) await worker.stop();
  }
}

const countEvents = (executions: readonly Execution[]): number => executions.reduce((sum, { events }) => sum + events.length, 0);

/** Of the one execution that `work` started; null where it started none, or several. */
function runSeconds(started: readonly Execution[]): number | null {
  const [first, last] = [started[0]?.events[0], started[0]?.events.at(-1)];
  if (started.length !== 1 || first === undefined || last === undefined) return null;
  return (Date.parse(last.eventTime) - Date.parse(first.eventTime)) / MS_PER_SECOND;
}
