/**
 * A step that crashes at any place is called again, and the target is as if it had run once: rows by SQL of the test's own, the ledger's
 * sums, one ledger row for each batch. The crash is an exception here; killed-process.test.ts does it with SIGKILL.
 */
import type { FaultPhase } from '../../pipeline/fault-point.ts';
import { describeWith } from '../support/describe-with.ts';
import { crashAt, noFaults } from './fault-hook.ts';
import { OneStream, ROWS } from './one-stream.ts';
import type { Product } from './one-stream.ts';

afterEach(noFaults);

const EXTRACT_AND_LOAD: readonly FaultPhase[] = ['P1', 'P3', 'P4', 'P5', 'P6', 'P7'];

const PRODUCTS: readonly Product[] = ['postgres', 'mariadb'];

describeWith({ postgres: true, mariadb: true }, 'a crash in the middle of a batch', () => {
  describe.each(PRODUCTS)('%s', (product) => {
    let stream: OneStream;
    beforeAll(async () => {
      stream = await OneStream.create({ product });
      await stream.sync();
    });

    test.each(EXTRACT_AND_LOAD)('increments, crash at %s', async (phase) => {
      stream.runId = `increment-${phase}`;
      const before = Number(await stream.source.value('SELECT count(*) FROM item'));
      await stream.insert(before + 1, before + 40);
      await stream.change(1, 25, `changed ${phase}`);
      const crashes = crashAt(phase, 2);
      const { anew } = await stream.sync();
      expect(crashes()).toBe(2);
      expect(anew).toBe(0);
      expect(await stream.faults(65)).toEqual([]);
    });

    test('a batch that found nothing crashes and leaves nothing', async () => {
      stream.runId = 'nothing';
      const crashes = crashAt('P6', 1);
      await stream.sync();
      expect(crashes()).toBe(1);
      expect(await stream.faults(0)).toEqual([]);
    });
  });

  // Parts of the table go straight into the next generation.
  const copied = PRODUCTS.flatMap((product) => (['P6', 'P7'] as const).map((phase) => [product, phase] as const));
  test.each(copied)('first load from %s, crash at %s', async (product, phase) => {
    const stream = await OneStream.create({ product });
    const crashes = crashAt(phase, 2);
    await stream.sync();
    expect(crashes()).toBe(2);
    expect(await stream.faults(ROWS)).toEqual([]);
  });

  test.each(['P5', 'P6', 'P7'] as const)('first load of a table whose key the source does not enforce, crash at %s', async (phase) => {
    const stream = await OneStream.create({ product: 'postgres', keyEnforced: false });
    const crashes = crashAt(phase, 2);
    await stream.sync();
    expect(crashes()).toBe(2);
    expect(await stream.faults(ROWS)).toEqual([]);
  });

  test('a keyless table, which no key protects from a second copy, crash at P7', async () => {
    const stream = await OneStream.create({ product: 'postgres', keyless: true });
    const crashes = crashAt('P7', 1);
    await stream.sync();
    expect(crashes()).toBe(1);
    expect(await stream.faults(ROWS)).toEqual([]);
  });
});
