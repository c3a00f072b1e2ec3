/**
 * The checks of this folder see what they are for: each protection is switched off in turn, and what it protects from happens. Where
 * several protect from the same thing, each alone is enough, and without all of them it happens.
 */
import { describeWith } from '../support/describe-with.ts';
import { crashAt, holdAt, noFaults } from './fault-hook.ts';
import { OneStream } from './one-stream.ts';
import { TamperedDestination } from './tampered-destination.ts';
import type { Protection } from './tampered-destination.ts';

afterEach(noFaults);

let destination: TamperedDestination;

/** A stream that was synced once, protections on; they go off when the test says so. */
async function syncedStream(settings = ''): Promise<OneStream> {
  const stream = await OneStream.create({ product: 'postgres', open: (url) => (destination = new TamperedDestination(url, [], settings)) });
  await stream.sync();
  stream.runId = 'tampered';
  await stream.change(1, 10, 'first change');
  return stream;
}

function switchOff(...off: readonly Protection[]): void {
  destination.off = off;
}

async function generationOf(stream: OneStream): Promise<number> {
  return (await stream.prepare()).generation;
}

describeWith({ postgres: true }, 'protections', () => {
  describe('a lost reply to COMMIT does not load twice', () => {
    /** The load commits, nobody hears of it, and it is tried again. */
    async function loadTwice(off: readonly Protection[], ledgerKey: boolean): Promise<readonly string[]> {
      const stream = await syncedStream();
      const { batch } = await stream.extract(stream.nextStep(await generationOf(stream)));
      if (!ledgerKey) await stream.target.query('ALTER TABLE tidemark.ledger DROP CONSTRAINT one_batch_once, DROP CONSTRAINT ledger_pkey');
      switchOff(...off);
      crashAt('P7');
      await expect(stream.load(batch)).rejects.toMatchObject({ code: expect.any(String) });
      await stream.load(batch).catch(() => undefined);
      expect([...destination.applied].sort()).toEqual([...off].sort());
      return stream.faults(10);
    }

    test('by the lookup alone', async () => expect(await loadTwice([], false)).toEqual([]));
    test("by the ledger's key alone", async () => expect(await loadTwice(['ledger lookup', 'watermark version'], true)).toEqual([]));
    test("by the watermark's version alone", async () => expect(await loadTwice(['ledger lookup'], false)).toEqual([]));
    test('without all three it does', async () => expect(await loadTwice(['ledger lookup', 'watermark version'], false)).toContain('1 batches stand in the ledger twice'));
  });

  describe('a zombie that wakes up late does not put its rows in the place of others', () => {
    /** The zombie's batch was finished without it, and the next one waits in the stage with as many rows. */
    async function wakeLate(off: readonly Protection[]): Promise<readonly string[]> {
      const stream = await syncedStream();
      const generation = await generationOf(stream);
      switchOff('new id');
      const step = stream.nextStep(generation);
      const held = holdAt('P1');
      const zombie = stream.extract(step);
      await held.reached;
      await stream.load((await stream.extract(step)).batch);
      await stream.change(11, 20, 'second change');
      const next = await stream.extract(stream.nextStep(generation));
      switchOff(...off);
      held.goOn();
      await zombie.catch(() => undefined);
      await stream.load(next.batch).catch(() => undefined);
      const wrong = await stream.differences();
      switchOff();
      if (wrong.length > 0) return wrong;
      await stream.sync();
      return stream.differences();
    }

    // Where the next batch was not loaded since its stage was taken, the sync after it must mend that: no row is lost, only late.
    test('by its token', async () => expect(await wakeLate(['new id', 'stage label'])).toEqual([]));
    test('without that, a new id and the label it does', async () => expect(await wakeLate(['new id', 'token', 'stage label'])).not.toEqual([]));
  });

  test('the label keeps a zombie’s rows out where its token would not', async () => {
    const stream = await syncedStream();
    const generation = await generationOf(stream);
    switchOff('new id');
    const step = stream.nextStep(generation);
    const held = holdAt('P1');
    const zombie = stream.extract(step);
    await held.reached;
    await stream.load((await stream.extract(step)).batch);
    await stream.change(11, 20, 'second change');
    const next = await stream.extract(stream.nextStep(generation));
    switchOff('new id', 'token');
    held.goOn();
    await zombie;
    await expect(stream.load(next.batch)).rejects.toMatchObject({ code: 'batch.stage_lost' });
    switchOff();
    await stream.sync();
    expect(await stream.faults(20)).toEqual([]);
  });

  test('a successor that did not end the zombie’s session waits for its locks in vain', async () => {
    const stream = await syncedStream("set lock_timeout = '500ms'");
    const { batch } = await stream.extract(stream.nextStep(await generationOf(stream)));
    const held = holdAt('P6');
    const zombie = stream.load(batch);
    await held.reached;
    switchOff('ended session');
    await expect(stream.load(batch)).rejects.toMatchObject({ code: 'target.locked' });
    held.goOn();
    await zombie;
    expect(await stream.faults(10)).toEqual([]);
  });

  test('a load onto another watermark than it was read from is refused by its version', async () => {
    const stream = await syncedStream();
    const { batch } = await stream.extract(stream.nextStep(await generationOf(stream)));
    await stream.target.query('UPDATE tidemark.watermark SET version = version + 1');
    await expect(stream.load(batch)).rejects.toMatchObject({ code: 'batch.fenced' });
    switchOff('watermark version');
    expect(await stream.load(batch)).toMatchObject({ written: 10 });
  });

  test('a stage that is not counted loses its rows', async () => {
    const stream = await syncedStream();
    const { batch } = await stream.extract(stream.nextStep(await generationOf(stream)));
    const stage = await stream.target.value("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'tidemark_stage'");
    await stream.target.query(`TRUNCATE ${stage}`);
    switchOff('stage count');
    await stream.load(batch);
    switchOff();
    await stream.sync();
    expect(await stream.differences()).not.toEqual([]);
  });
});

describeWith({ postgres: true }, 'the equation', () => {
  /** The ledger is told one row more than was written, behind the back of the code that adds up. */
  const MISCOUNT = `CREATE FUNCTION miscount() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN new.written := new.written + 1; RETURN new; END $f$;
    CREATE TRIGGER miscount BEFORE INSERT ON tidemark.ledger FOR EACH ROW EXECUTE FUNCTION miscount()`;

  test('a batch whose sums do not add up commits nothing: no row, no ledger row, no watermark', async () => {
    const stream = await syncedStream();
    const state = () => stream.target.query('SELECT version, position, (SELECT md5(string_agg(t::text, \'|\' ORDER BY id)) FROM shop.item t) AS rows FROM tidemark.watermark');
    const { batch } = await stream.extract(stream.nextStep(await generationOf(stream)));
    const before = await state();
    await stream.target.query(MISCOUNT);
    await expect(stream.load(batch)).rejects.toMatchObject({ code: 'target.constraint' });
    expect(await state()).toEqual(before);
    expect(await stream.ledger()).toMatchObject({ batches: 0 });
    await stream.target.query('DROP TRIGGER miscount ON tidemark.ledger');
    await stream.load(batch);
    expect(await stream.faults(10)).toEqual([]);
  });

  test('without the constraint it commits, and the check sees it', async () => {
    const stream = await syncedStream();
    const { batch } = await stream.extract(stream.nextStep(await generationOf(stream)));
    await stream.target.query(`ALTER TABLE tidemark.ledger DROP CONSTRAINT equation; ${MISCOUNT}`);
    await stream.load(batch);
    expect(await stream.faults(11)).toEqual(['the equation does not hold']);
  });
});

describeWith({ postgres: true }, 'an older batch', () => {
  /** A batch that was staged before another and gets through to the merge after it, as one without a watermark of its own would. */
  async function loadLate(off: readonly Protection[]): Promise<{ stream: OneStream; counts: Awaited<ReturnType<OneStream['load']>> }> {
    const stream = await syncedStream();
    const generation = await generationOf(stream);
    const older = await stream.extract(stream.nextStep(generation));
    const stage = await stream.target.value("SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'tidemark_stage'");
    await stream.target.query(`CREATE TABLE kept AS TABLE ${stage}`);
    await stream.change(1, 10, 'newer');
    await stream.load((await stream.extract(stream.nextStep(generation))).batch);
    const shape = await stream.target.value(`SELECT split_part(obj_description('${stage}'::regclass), ' ', 1)`);
    await stream.target.query(`TRUNCATE ${stage}; INSERT INTO ${stage} TABLE kept; COMMENT ON TABLE ${stage} IS '${shape} ${older.batch}'`);
    await stream.target.query(`UPDATE tidemark.batch SET base_version = (SELECT version FROM tidemark.watermark) WHERE batch = ${older.batch}`);
    switchOff(...off);
    return { stream, counts: await stream.load(older.batch) };
  }

  test('never overwrites the rows of a newer one, and counts them as superseded', async () => {
    const { stream, counts } = await loadLate([]);
    expect(counts).toMatchObject({ written: 0, superseded: 10 });
    expect(await stream.faults(10)).toEqual([]);
  });

  test('would, if nobody looked for a later batch', async () => {
    const { stream } = await loadLate(['later batch']);
    expect(await stream.differences()).not.toEqual([]);
  });
});
