/** An extract that is to bring all that is new or nothing: of more rows than one batch it copies none, and whoever comes next brings them all. */
import { describeWith } from '../support/describe-with.ts';
import { OneStream, type Product } from './one-stream.ts';

const MOST = 10;

async function loaded(product: Product) {
  const stream = await OneStream.create({ product });
  await stream.sync();
  stream.runId = 'run-2';
  const { generation } = await stream.prepare();
  return { stream, generation, engine: { ...stream.engine, batchRowsMax: MOST, wholeRangesOnly: true } };
}

describe.each(['postgres', 'mariadb'] as const)('%s', (product) => {
  describeWith({ postgres: true, ...(product === 'mariadb' ? { mariadb: true } : {}) }, 'a range that is taken whole or not at all', () => {
    test('is not begun where it holds a row more than a batch', async () => {
      const { stream, generation, engine } = await loaded(product);
      await stream.change(1, MOST + 1, 'changed');
      const step = stream.nextStep(generation);
      await expect(stream.extract(step, engine)).rejects.toMatchObject({ code: 'source.batch_overfull' });
      expect(await stream.target.value("SELECT count(*) FROM tidemark.ledger WHERE run_id = 'run-2'")).toBe('0');
      expect(await stream.target.value("SELECT state FROM tidemark.batch WHERE run_id = 'run-2'")).toBe('open');
      // The same step without that wish finds the batch as it was left, and takes all of it.
      const extracted = await stream.extract(step);
      expect(extracted.more).toBe(false);
      expect(extracted.read).toBeGreaterThan(MOST);
      await stream.load(extracted.batch);
      expect(await stream.differences()).toEqual([]);
      expect(await stream.faults(MOST + 1)).toEqual([]);
    });
  });
});

describeWith({ postgres: true }, 'a range that fits', () => {
  test('is taken', async () => {
    const { stream, generation, engine } = await loaded('postgres');
    await stream.change(1, MOST, 'changed');
    const extracted = await stream.extract(stream.nextStep(generation), engine);
    expect(extracted).toMatchObject({ read: MOST, more: false });
    await stream.load(extracted.batch);
    expect(await stream.differences()).toEqual([]);
  });
});
