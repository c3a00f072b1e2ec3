/** The stage is an unlogged table: it may vanish at any moment between its extract and its load, and costs no row. */
import { describeWith } from '../support/describe-with.ts';
import { quietMariadb } from '../support/mariadb.ts';
import { PrivatePostgres } from '../support/postgres.ts';
import { OneStream, ROWS } from './one-stream.ts';
import type { Product } from './one-stream.ts';

const PRODUCTS: readonly Product[] = ['postgres', 'mariadb'];

const lost = expect.objectContaining({ code: 'batch.stage_lost' });

async function stageNames(stream: OneStream): Promise<readonly string[]> {
  return (await stream.target.query("SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname = 'tidemark_stage'")).map((row) => row['name']!);
}

describeWith({ postgres: true, mariadb: true }, 'a stage that vanishes', () => {
  describe.each(PRODUCTS)('%s', (product) => {
    let stream: OneStream;
    beforeAll(async () => {
      stream = await OneStream.create({ product, ...(product === 'mariadb' ? { mariadb: await quietMariadb() } : {}) });
      await stream.sync();
    });

    test.each(['TRUNCATE', 'DROP TABLE'])('%s between extract and load: extracted again by the same step', async (statement) => {
      stream.runId = statement;
      await stream.change(1, 20, `after ${statement}`);
      const step = stream.nextStep((await stream.prepare()).generation);
      const { batch } = await stream.extract(step);
      for (const stage of await stageNames(stream)) await stream.target.query(`${statement} ${stage}`);
      await expect(stream.load(batch)).rejects.toEqual(lost);
      expect(await stream.ledger()).toMatchObject({ batches: 0 });
      const again = await stream.extract(step);
      expect(await stream.load(again.batch)).toMatchObject({ written: 20 });
      expect(await stream.ledger()).toMatchObject({ batches: 1 });
      expect(await stream.faults(20)).toEqual([]);
    });

    test('some rows of it are gone', async () => {
      stream.runId = 'some';
      await stream.change(1, 20, 'some rows');
      const step = stream.nextStep((await stream.prepare()).generation);
      const { batch } = await stream.extract(step);
      const [stage] = await stageNames(stream);
      await stream.target.query(`DELETE FROM ${stage} WHERE id <= 5`);
      await expect(stream.load(batch)).rejects.toEqual(lost);
      await stream.sync();
      expect(await stream.faults(20)).toEqual([]);
    });
  });

  test('the stage of a part, between copy and transform', async () => {
    const stream = await OneStream.create({ product: 'postgres', keyEnforced: false });
    const prepared = await stream.prepare();
    if (prepared.action !== 'build') throw new Error('a first load builds');
    const step = stream.nextStep(prepared.generation);
    const { batch, staged } = await stream.copy(step, prepared.parts[0]!);
    expect(staged).toBe(true);
    for (const stage of await stageNames(stream)) await stream.target.query(`TRUNCATE ${stage}`);
    await expect(stream.transform(batch, prepared.parts[0])).rejects.toEqual(lost);
    await stream.sync();
    expect(await stream.faults(ROWS)).toEqual([]);
  });
});

describeWith({ postgres: true }, 'a destination that crashes', () => {
  let server: PrivatePostgres;
  let stream: OneStream;

  beforeAll(async () => {
    server = await PrivatePostgres.start({ fsync: 'on', full_page_writes: 'on', synchronous_commit: 'on' });
    stream = await OneStream.create({ product: 'postgres', target: await server.createDatabase('target') });
    await stream.sync();
  });

  test('between extract and load: the server empties the stage, the batch is read again', async () => {
    stream.runId = 'crash';
    await stream.change(1, 20, 'crash');
    const { batch } = await stream.extract(stream.nextStep((await stream.prepare()).generation));
    await server.kill();
    await server.restart();
    const [stage] = await stageNames(stream);
    expect(await stream.target.value(`SELECT count(*) FROM ${stage}`)).toBe('0');
    await expect(stream.load(batch)).rejects.toEqual(lost);
    await stream.sync();
    expect(await stream.faults(20)).toEqual([]);
  });

  test('in the middle of a COPY: the step fails with a code of its own and is called again', async () => {
    stream.runId = 'copy';
    await stream.change(1, 20, 'copy');
    const step = stream.nextStep((await stream.prepare()).generation);
    const kills: Promise<void>[] = [];
    const cut = stream.extract(step, stream.engine, () => {
      if (kills.length === 0) kills.push(server.kill());
    });
    await expect(cut).rejects.toMatchObject({ code: 'target.connection_lost' });
    await Promise.all(kills);
    await server.restart();
    const { batch } = await stream.extract(step);
    await stream.load(batch);
    await stream.sync();
    expect(await stream.faults(20)).toEqual([]);
  });

  test('after a load was committed, before anybody heard of it', async () => {
    stream.runId = 'committed';
    await stream.change(1, 20, 'committed');
    const { batch } = await stream.extract(stream.nextStep((await stream.prepare()).generation));
    await stream.load(batch);
    await server.kill();
    await server.restart();
    expect(await stream.load(batch)).toMatchObject({ written: 20 });
    expect(await stream.faults(20)).toEqual([]);
    expect(await stream.ledger()).toMatchObject({ batches: 1 });
  });
});
