/**
 * The hazard tests can go red: with one protection switched off in the worker (TIDEMARK_TEST_DISABLE, which is honoured only
 * with NODE_ENV=test) the case that it protects from loses a row, and with it the same play is equal.
 *
 * The late scan is off in all of them, since it alone would bring back what another missing protection lost.
 */
import { describeWith } from '../support/describe-with.ts';
import { needsOf } from './exact-cases.ts';
import type { Product } from './hazard-case.ts';
import { OPEN_CASES } from './open-cases.ts';
import { Play } from './play.ts';
import { QUIET_CASES } from './quiet-cases.ts';

const PROTECTIONS = [
  ['late-scan', 'W01'],
  ['inclusive-bound', 'W04'],
  ['future-fence', 'W10'],
  ['null-cursors', 'W07'],
] as const;

describe.each(['postgres', 'mariadb'] as const satisfies readonly Product[])('protections, %s', (product) => {
  describeWith(needsOf(product), 'switched off', () => {
    test.each(PROTECTIONS)('without %s, %s differs', async (protection, id) => {
      const hazard = [...QUIET_CASES, ...OPEN_CASES].filter((each) => each.id === id);
      const disabled = [...new Set(['late-scan', protection])].join(',');
      const play = await Play.perform(product, hazard, { TIDEMARK_TEST_DISABLE: disabled });
      const { differences, syncs } = await play.outcome(id);
      expect(syncs.map(({ status }) => status)).toEqual(syncs.map(() => 'completed'));
      expect(differences).not.toEqual([]);
    });
  });
});
