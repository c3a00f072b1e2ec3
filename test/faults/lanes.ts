/**
 * Cases that mostly wait (for Temporal to give up a dead worker, for a server to come back) run side by side in lanes; the cases of one
 * lane follow each other on one stream. Each case is a jest test of its own.
 */
import type { FaultRun } from './fault-run.ts';

export interface Case {
  readonly name: string;
  /** Plays it, heals all, and leaves the stream completed. */
  readonly play: (run: FaultRun) => Promise<void>;
  /** `at most`: a fault that fails a sync as a whole may let two changes of one row go into one write. */
  readonly counts?: 'exact' | 'at most';
}

/** To be called inside a `describe`. `start` makes the stream of a lane. */
export function testLanes(lanes: readonly (readonly Case[])[], start: (lane: number) => Promise<FaultRun>): void {
  const outcomes = new Map<Case, Promise<readonly string[]>>();

  beforeAll(() => {
    for (const [index, cases] of lanes.entries()) {
      let run: Promise<FaultRun> = start(index);
      for (const each of cases) {
        const outcome = run.then(async (on) => {
          await each.play(on);
          return on.faults(each.counts);
        });
        outcomes.set(each, outcome);
        run = outcome.then(notAfter(run), () => Promise.reject(new Error('not played: a case before it on the same stream failed')));
        for (const promise of [outcome, run]) promise.catch(() => undefined);
      }
    }
  });

  test.each(lanes.flat().map((each) => [each.name, each] as const))('%s', async (_name, each) => {
    expect(await outcomes.get(each)).toEqual([]);
  });
}

/** What one case left wrong would make the next one red as well, for no reason of its own. */
function notAfter(run: Promise<FaultRun>) {
  return async (found: readonly string[]) => {
    if (found.length > 0) throw new Error('the case before it went wrong');
    return run;
  };
}
