/**
 * A worker of an older version begins runs and is killed in the middle; today's goes on with the same executions (F-10). The older worker's workflows
 * are today's without their patches, and with `test:faults` those of the last commit before any patch, where the checkout has it.
 */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { exportHistory, listWorkflows } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';
import { allFaults, playsAll } from './all-faults.ts';
import { FaultRun, SOURCE, TABLE, differences } from './fault-run.ts';
import type { Fault } from './fault-run.ts';
import { changeRows, dumpTarget, engineOf, insertRows, tableSql } from './fault-source.ts';
import { testLanes } from './lanes.ts';
import type { Case } from './lanes.ts';
import { bundleOfCommit, bundleWithoutPatches, commitBeforePatches, workerOf } from './older-bundle.ts';

const PATIENCE_MS = 120_000;
const engine = engineOf('postgres');

/** A task whose workflow would have ended just when word for it arrived: the server has it done again, with that. */
const OVERTAKEN = 'WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND';

/** Workflow tasks that today's code could not go on from, in words. */
function notReplayed(env: Readonly<Record<string, string | undefined>>): string[] {
  const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = env;
  return listWorkflows(address, namespace).flatMap(({ execution, type }) => {
    const { events } = exportHistory(address, namespace, execution);
    return events.filter(({ eventType, ...event }) => eventType === 'EVENT_TYPE_WORKFLOW_TASK_FAILED' && !JSON.stringify(event).includes(OVERTAKEN)).map(() => `${type.name} ${execution.workflowId} had a workflow task that failed`);
  });
}

/** The first worker of `run` is of an older version; it dies at the place and one of today takes its run over. */
function takenOver(what: 'the first load' | 'an increment', fault: Omit<Fault, 'action'>, older: () => Record<string, string>): Case {
  return {
    name: `${what} that an older worker began and died in at ${[fault.phase, fault.place].filter(Boolean).join(', ')}`,
    play: async (run) => {
      await run.worker.stop();
      const worker = await run.startWorker(older());
      if (what === 'an increment') await run.change(1, 250, `older ${fault.phase}`);
      run.arm({ ...fault, action: 'kill' });
      const running = run.begin();
      await run.reached(running);
      await worker.exited;
      await run.startWorker();
      await run.completed(running);
      const failed = notReplayed(run.tidemark.env);
      if (failed.length > 0) throw new Error(failed.join('\n'));
    },
  };
}

/** A window of polls, which is one execution for minutes, passes from an older worker to one of today, and then gives way to a sync. */
async function windowTakenOver(older: Record<string, string>): Promise<string[]> {
  const source = await engine.shared();
  const target = await createDatabase('target');
  const tidemark = new Tidemark(windowed(source.connection()), { ...source.secrets, ...(await Tidemark.temporal()), DESTINATION_URL: target.url });
  await source.run(tableSql(engine, TABLE));
  await insertRows(engine, source, TABLE, 1, 100);
  const first = tidemark.startWorker(older);
  await tidemark.workerReady(1);
  await tidemark.apply();
  const arrived = (id: number) => waitFor(`row ${id} to arrive`, async () => ((await dumpTarget(target, `${SOURCE}.${TABLE}`).catch(() => [])).some((line) => line.startsWith(`${id}|`)) ? true : null), PATIENCE_MS).catch((error: Error) => {
    throw new Error(`${error.message}\n${tidemark.workerTails()}`);
  });
  await arrived(100);
  await insertRows(engine, source, TABLE, 101, 150);
  await arrived(150);
  await changeRows(engine, source, TABLE, 1, 20, 'before the older worker dies');
  await first.kill();
  await insertRows(engine, source, TABLE, 151, 200);
  tidemark.startWorker();
  await tidemark.workerReady(2);
  await arrived(200);
  await tidemark.syncAll();
  await tidemark.must('pause', SOURCE, '--json');
  return [...differences(await source.dump(TABLE), await dumpTarget(target, `${SOURCE}.${TABLE}`)), ...notReplayed(tidemark.env)];
}

function windowed(connection: string): string {
  return `destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 2s }
sources:
  - { id: ${SOURCE}, kind: ${engine.kind}, connection: ${connection}, streams: [{ table: ${TABLE}, cursor: changed_at, key: [id], target: ${SOURCE}.${TABLE} }] }
`;
}

const begun = playsAll ? commitBeforePatches() : null;
const olders: readonly (readonly [name: string, needs: { readonly env?: string }, bundle: () => string])[] = [
  ['without patches', {}, bundleWithoutPatches],
  ...(playsAll ? [['from before any patch', begun === null ? { env: 'A_CHECKOUT_WITH_ITS_HISTORY' } : {}, () => bundleOfCommit(begun ?? '')] as const] : []),
];

describe.each(olders)('workflows %s', (_name, needs, bundle) => {
  let made: string | null = null;
  const older = () => workerOf((made ??= bundle()));

  describeWith({ ...engine.needs, ...needs }, 'a worker of an older version', () => {
    const increments: Omit<Fault, 'action'>[] = [{ phase: 'P8', place: 'loadBatch' }, ...allFaults<Omit<Fault, 'action'>>([{ phase: 'P4' }, { phase: 'P9', nth: 4 }])];
    testLanes([[takenOver('the first load', { phase: 'P7' }, older), ...increments.map((place) => takenOver('an increment', place, older))]], () => engine.shared().then((source) => FaultRun.start({ engine, source })));

    // Schedules are as today's `apply` makes them, which code from before any patch does not read.
    if (bundle === bundleWithoutPatches) {
      test('a window of polls goes on with a worker of today', async () => {
        expect(await windowTakenOver(older())).toEqual([]);
      });
    }
  });
});
