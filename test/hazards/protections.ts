/**
 * The hazard tests can go red: with one protection switched off in the worker, the case that it protects from
 * ends unequal after a good first sync. The tests of the EXACT cases show the same plays equal with all protections on.
 *
 * The late scan is off in all of them, since it alone would bring back what another missing protection lost.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
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

const SWITCH = pathToFileURL(join(import.meta.dirname, 'switch-off.js')).href;

export function testProtections(product: Product): void {
  describeWith(needsOf(product), `protections, ${product}`, () => {
    test.each(PROTECTIONS)('without %s, %s differs', async (protection, id) => {
      const hazard = [...QUIET_CASES, ...OPEN_CASES].filter((each) => each.id === id);
      const off = [...new Set(['late-scan', protection])].join(',');
      const play = await Play.perform(product, hazard, { NODE_OPTIONS: `--import ${SWITCH}`, TIDEMARK_TEST_SWITCH_OFF: off });
      const { differences, syncs } = await play.outcome(id);
      expect(syncs[0]?.status).toBe('completed');
      expect(differences).not.toEqual([]);
    });
  });
}
