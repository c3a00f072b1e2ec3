/**
 * kill -9 of a worker process before, in and after each step of a sync (F-01, P0 to P9 and PD): a new worker goes on, and the target is
 * as if nothing had happened.
 */
import { describeWith } from '../support/describe-with.ts';
import { allFaults } from './all-faults.ts';
import { FaultRun, TABLE } from './fault-run.ts';
import type { Fault } from './fault-run.ts';
import { engineOf } from './fault-source.ts';
import { testLanes } from './lanes.ts';
import type { Case } from './lanes.ts';

type Kill = Omit<Fault, 'action'>;

const around = (...activities: readonly string[]) => activities.flatMap((place): Kill[] => [{ phase: 'P0', place }, { phase: 'P8', place }]);

/** In the increments of a sync: before and after each activity, in those that write, and between an activity's end and its workflow. */
const INCREMENT: readonly Kill[] = [
  { phase: 'P4' },
  { phase: 'P6' },
  { phase: 'P7' },
  { phase: 'P8', place: 'loadBatch' },
  { phase: 'P9', nth: 4 },
  ...allFaults<Kill>([
    ...around('takeTurn', 'checkSource', 'prepareStream', 'extractBatch', 'endStream', 'endRun'),
    { phase: 'P0', place: 'loadBatch' },
    { phase: 'P1' },
    { phase: 'P3' },
    { phase: 'P5' },
    { phase: 'P6', nth: 2 },
    { phase: 'P7', nth: 2 },
    ...[1, 2, 3, 5, 6, 7].map((nth): Kill => ({ phase: 'P9', nth })),
  ]),
];

/** In a full refresh, which builds the next generation. */
const BUILD: readonly Kill[] = [
  { phase: 'PD', place: 'swap' },
  ...allFaults<Kill>([{ phase: 'PD', place: 'key' }, ...around('copyPart', 'keyBuild', 'finishBuild'), { phase: 'P6' }, { phase: 'P7', nth: 2 }]),
];

/** In the first load, when the target does not exist yet; one for each lane. */
const FIRST: readonly Kill[] = [{ phase: 'P7' }, { phase: 'PD', place: 'build' }, { phase: 'PD', place: 'swap' }];

const nameOf = ({ phase, place, nth }: Kill) => [phase, place, nth === undefined ? null : `time ${nth}`].filter(Boolean).join(', ');

function lanes(): Case[][] {
  const first = (kill: Kill): Case => ({ name: `the first load, ${nameOf(kill)}`, play: (run) => run.killedAt(kill) });
  const increment = (kill: Kill, index: number): Case => ({
    name: `increments, ${nameOf(kill)}`,
    play: async (run) => {
      await run.change(1, 250, `changed ${index}`);
      await run.insert(10_000 + index * 200, 10_149 + index * 200);
      await run.killedAt(kill);
    },
  });
  const build = (kill: Kill, index: number): Case => ({
    name: `a full refresh, ${nameOf(kill)}`,
    play: async (run) => {
      await run.sync();
      await run.change(301, 350, `built ${index}`);
      await run.killedAt(kill, '--full');
      // A refresh that swaps writes every row into the next generation.
      run.written = await run.ledgerWritten();
    },
  });
  const column: Case = {
    name: 'increments, a new column, PD, target',
    play: async (run) => {
      await run.source.run(`ALTER TABLE ${TABLE} ADD COLUMN extra varchar(20)`);
      await run.change(1, 50, 'with a new column');
      await run.killedAt({ phase: 'PD', place: 'target' });
    },
  };
  const later = [...INCREMENT.map(increment), ...BUILD.map(build), column];
  return FIRST.map((kill, lane) => [first(kill), ...later.filter((_case, index) => index % FIRST.length === lane)]);
}

export function testKilledWorker(kind: string): void {
  const engine = engineOf(kind);
  describeWith(engine.needs, `a worker killed with SIGKILL, ${kind}`, () => {
    testLanes(lanes(), async () => FaultRun.start({ engine, source: await engine.shared() }));
  });
}
