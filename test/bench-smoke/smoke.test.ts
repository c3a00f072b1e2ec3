/** Each case of the bench at a small size: rows equal at both ends. No time is asserted. */
import type { BenchCase } from '../../bench/bench-case.ts';
import { CASES } from '../../bench/cases/cases.ts';
import { Bench } from '../../bench/servers.ts';
import { describeWith } from '../support/describe-with.ts';

/** More than a poll brings by itself: a workflow does, and has events by the time at which its rows are seen. */
const ROWS = 30_000;

describeWith({ postgres: true, mariadb: true, temporal: true }, 'cases of the bench', () => {
  const bench = new Bench();

  test.each(CASES.map((each): [string, BenchCase] => [each.name, each]))('%s: both sides leave the source’s rows', async (_name, benchCase) => {
    const contest = await benchCase.prepare(bench, ROWS);
    try {
      expect(await contest.limit()).toBeGreaterThan(0);
      const measured = await contest.tidemark();
      await contest.verify();
      expect(measured.historyEvents).toBeGreaterThan(0);
      // What is held against a bare pipe is one run, which its command starts and waits for.
      if (benchCase.bound.kind === 'ratio') {
        expect(measured.runSeconds).toBeGreaterThan(0);
        expect(measured.runSeconds).toBeLessThan(measured.seconds);
      }
      expect(measured.workerPeakMib).toBeGreaterThan(0);
    } finally {
      await contest.close();
    }
  });
});
