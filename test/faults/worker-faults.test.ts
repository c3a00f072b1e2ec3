/** Faults of a worker that do not end it: asleep and awake again, told to stop twice, a clock that jumps; and runs that somebody ends from outside. */
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { listWorkflows, temporal } from '../support/temporal.ts';
import { allFaults, playsAll } from './all-faults.ts';
import { FaultRun, SOURCE, TABLE } from './fault-run.ts';
import type { Fault } from './fault-run.ts';
import { ENGINES } from './fault-source.ts';
import { testLanes } from './lanes.ts';
import type { Case } from './lanes.ts';

type Phase = Fault['phase'];
type Place = Omit<Fault, 'action'>;

const HOUR_MS = 3_600_000;

let changes = 0;

async function more(run: FaultRun): Promise<void> {
  changes += 1;
  await run.change(1, 250, `change ${changes}`);
  await run.insert(100_000 + changes * 200, 100_149 + changes * 200);
}

const named = ({ phase, place }: Place) => [phase, place].filter(Boolean).join(' of ');

/** F-03: asleep for longer than Temporal waits; another worker runs the same attempt again, then the first one wakes up and goes on where it stood. */
function zombie(phase: Phase, place?: string): Case {
  const at = { phase, ...(place === undefined ? {} : { place }) };
  return {
    name: `a worker sleeps at ${named(at)} and wakes up when another has done its work`,
    play: async (run) => {
      await more(run);
      run.arm({ ...at, action: 'stop' });
      const asleep = run.worker;
      const running = run.begin();
      await run.reached(running);
      await run.startWorker();
      // Temporal may hand each of the few attempts of the first step to the worker that sleeps: such a sync fails, and says so.
      await (place === 'prepareStream' ? run.healed(running) : run.completed(running));
      run.wake(asleep);
      await more(run);
      await run.sync();
      await asleep.stop();
    },
  };
}

/** F-02: the second signal does not make it worse. */
function stoppedTwice(phase: Phase): Case {
  return {
    name: `a worker gets SIGTERM twice at ${phase}`,
    play: async (run) => {
      await more(run);
      const worker = run.worker;
      await run.disturbedAt({ phase }, async () => {
        for (const signal of ['SIGTERM', 'SIGTERM'] as const) process.kill(worker.pid, signal);
        run.goOn();
        await worker.exited;
        await run.startWorker();
      });
    },
  };
}

/** F-60: cursors and bounds are the source's; a worker's clock has no say. */
function clock(phase: Phase, milliseconds: number): Case {
  return {
    name: `the worker's clock jumps by ${milliseconds / HOUR_MS} h at ${phase}`,
    play: async (run) => {
      await more(run);
      run.arm({ phase, action: 'clock', milliseconds });
      const running = run.begin();
      await run.reached(running);
      await run.completed(running);
      await more(run);
      await run.sync();
    },
  };
}

/** F-06: its workflow is cancelled or terminated from outside; the next sync goes on. */
function ended(how: 'cancel' | 'terminate', at: Place): Case {
  return {
    name: `${how} at ${named(at)}`,
    play: async (run) => {
      await more(run);
      await run.disturbedAt(at, () => endAll(run, how));
    },
  };
}

/** Ends what runs by its id, once Temporal's list has it: a query would end what is listed when it gets to it. The list may lag behind: what it takes for running may have ended. */
async function endAll(run: FaultRun, how: 'cancel' | 'terminate', type = 'syncSource'): Promise<void> {
  const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = run.tidemark.env;
  const of = ({ workflowId, runId }: { workflowId: string; runId: string }) => ['--workflow-id', workflowId, '--run-id', runId];
  const runs = (execution: { workflowId: string; runId: string }) => temporal(address, namespace, ['workflow', 'describe', ...of(execution), '--output', 'json']).includes('WORKFLOW_EXECUTION_STATUS_RUNNING');
  const running = await waitFor('a workflow to be listed', () => {
    const listed = listWorkflows(address, namespace, `ExecutionStatus = 'Running' AND WorkflowType = '${type}'`).filter(({ execution }) => runs(execution));
    return listed.length > 0 ? listed : null;
  });
  for (const { execution } of running) temporal(address, namespace, ['workflow', how, ...of(execution)]);
}

/** F-06: a run that was ended before any of its streams began is not one in which all streams completed. */
const endedBeforeItBegan: Case = {
  name: 'terminate before any stream has begun: the sync says so',
  play: async (run) => {
    await more(run);
    run.arm({ phase: 'P0', place: 'takeTurn', action: 'hold' });
    const running = run.begin();
    await run.reached(running);
    await endAll(run, 'terminate');
    run.goOn();
    const { code, json } = await running;
    if (code !== 1 || json?.error?.code !== 'run.incomplete') throw new Error(`a sync whose run was ended from outside ended with ${code} and ${json?.error?.code}`);
    await run.settled();
  },
};

/** F-06: a stream whose own workflow was ended before its first step did anything is not missing from its run. */
const streamEndedBeforeItBegan: Case = {
  name: "terminate a stream's workflow before its first step: the sync says so",
  play: async (run) => {
    await more(run);
    run.arm({ phase: 'P0', place: 'prepareStream', action: 'hold' });
    const running = run.begin();
    await run.reached(running);
    await endAll(run, 'terminate', 'syncStream');
    const { code, json } = await running;
    run.goOn();
    if (code !== 1 || json?.streams?.[0]?.status !== 'skipped') throw new Error(`a sync whose only stream was ended from outside ended with ${code} and ${JSON.stringify(json)}`);
    await run.settled();
  },
};

/** F-06: paused in the middle, the batch that runs is finished; resumed, the stream goes on. */
function paused(at: Place): Case {
  return {
    name: `pause and resume at ${named(at)}`,
    play: async (run) => {
      await more(run);
      run.arm({ ...at, action: 'hold' });
      const running = run.begin();
      await run.reached(running);
      await run.tidemark.must('pause', SOURCE, '--stream', TABLE, '--json');
      run.goOn();
      await running;
      await run.tidemark.must('resume', SOURCE, '--stream', TABLE, '--json');
      await run.settled();
    },
  };
}

/** Without a place, P0 and P8 would be those of a run's first step, which has nothing to do with a stream. */
const EVERYWHERE: readonly Place[] = [{ phase: 'P0', place: 'extractBatch' }, { phase: 'P1' }, { phase: 'P3' }, { phase: 'P4' }, { phase: 'P5' }, { phase: 'P6' }, { phase: 'P7' }, { phase: 'P8', place: 'loadBatch' }, { phase: 'P9' }];

const firstLoad: Case = { name: 'the first load', play: (run) => run.sync() };

/** What it does to a stream does not depend on its source: CI plays these on one kind. */
const engines = ENGINES.filter(({ kind }) => playsAll || kind === 'postgres');

for (const engine of engines) {
  describeWith(engine.needs, `workers that misbehave, ${engine.kind}`, () => {
    const lanes: Case[][] = [
      [firstLoad, zombie('P6'), ...allFaults<Case>([zombie('P1'), zombie('P3'), zombie('P5'), zombie('P7'), zombie('P8')])],
      [firstLoad, zombie('P3'), stoppedTwice('P3'), clock('P3', HOUR_MS), clock('P6', -2 * HOUR_MS), ...allFaults<Case>([stoppedTwice('P1'), stoppedTwice('P6'), clock('P1', -HOUR_MS), ...['prepareStream', 'extractBatch', 'endStream'].map((place) => zombie('P0', place))])],
      [firstLoad, endedBeforeItBegan, streamEndedBeforeItBegan, ended('terminate', { phase: 'P6' }), ended('cancel', { phase: 'P3' }), paused({ phase: 'P4' }), ...allFaults<Case>(EVERYWHERE.flatMap((at) => [ended('terminate', at), ended('cancel', at), paused(at)]))],
    ];
    testLanes(lanes, async () => FaultRun.start({ engine, source: await engine.shared() }));
  });
}
