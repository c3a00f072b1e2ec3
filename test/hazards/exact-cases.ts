/** The tests of all EXACT hazards for one product. */
import { describeWith } from '../support/describe-with.ts';
import type { Needs } from '../support/describe-with.ts';
import { OPEN_CASES } from './open-cases.ts';
import { Play } from './play.ts';
import { QUIET_CASES } from './quiet-cases.ts';
import type { HazardCase, Product } from './hazard-case.ts';

export const needsOf = (product: Product): Needs => ({ postgres: true, temporal: true, ...(product === 'mariadb' ? { mariadb: true } : {}) });

export function testExactCases(product: Product): void {
  describeWith(needsOf(product), `watermark hazards, ${product}`, () => {
    describe.each([
      ['quiet', QUIET_CASES],
      ['with open transactions', OPEN_CASES],
    ] as const)('%s', (_, cases) => {
      let play: Play;
      beforeAll(async () => {
        play = await Play.perform(product, cases);
      });
      const here = cases.filter(({ products }) => products === undefined || products.includes(product));
      test.each(here.map((hazard) => [hazard.id, hazard.title, hazard] as const))('%s: %s', async (id, _title, hazard) => {
        await expectEqual(play, id, hazard);
      });
    });
  });
}

async function expectEqual(play: Play, id: string, hazard: HazardCase): Promise<void> {
  const outcome = await play.outcome(id);
  expect(outcome.syncs.map(({ status, error }) => error?.code ?? status)).toEqual(outcome.syncs.map(() => 'completed'));
  expect(outcome.differences).toEqual([]);
  expect(outcome.targetRows).toBe(outcome.sourceRows);
  if (hazard.during !== undefined) expect(outcome.changedMidRun).toBe(true);
  for (const sync of outcome.syncs) expect(sync.read).toBe(sync.written + sync.unchanged + sync.rejected + sync.superseded + sync.deleted);
  expect(outcome.syncs.slice(-1).map(({ written }) => written)).toEqual(outcome.syncs.slice(-1).map(() => 0));
  if (id === 'W20') expect(new Set(outcome.syncs.map(({ watermark }) => watermark.to)).size).toBe(1);
}
