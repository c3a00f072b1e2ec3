/** A batch without rows is loaded by the step that read it: once, in its order, and without waiting for a key. */
import { finishBuild, keyBuild } from '../../pipeline/build.ts';
import { describeWith } from '../support/describe-with.ts';
import { holdAt, noFaults } from './fault-hook.ts';
import { OneStream, ROWS, SOURCE, TABLE } from './one-stream.ts';

afterEach(noFaults);

const LOADED = { batches: 1, read: 0, written: 0, unchanged: 0, rejected: 0, superseded: 0, deleted: 0 };

describeWith({ postgres: true }, 'a batch without rows', () => {
  /** A first load whose parts are copied; nothing was written at the source meanwhile. */
  async function copied(): Promise<{ stream: OneStream; generation: number }> {
    const stream = await OneStream.create({ product: 'postgres' });
    const prepared = await stream.prepare();
    if (prepared.action !== 'build') throw new Error('a first load builds');
    for (const part of prepared.parts) await stream.copy(stream.nextStep(prepared.generation), part);
    return { stream, generation: prepared.generation };
  }

  const ledgerOf = (stream: OneStream, batch: number) => stream.target.query('SELECT kind, read, written FROM tidemark.ledger WHERE batch = $1', [batch]);
  const watermarkOf = (stream: OneStream) => stream.target.value('SELECT version FROM tidemark.watermark');
  const buildOf = (stream: OneStream) => stream.target.value("SELECT version FROM tidemark.generation WHERE state = 'building'");

  async function endsWell(stream: OneStream, generation: number): Promise<void> {
    expect(await finishBuild(stream.engine, SOURCE, TABLE, generation)).toBe('swapped');
    expect(await stream.faults(ROWS)).toEqual([]);
    stream.runId = 'run-2';
    await stream.change(1, 5, 'after the build');
    await stream.sync();
    expect(await stream.differences()).toEqual([]);
    expect(await stream.ledger()).toMatchObject({ written: 5 });
  }

  test('in the catch-up of a build it needs no load', async () => {
    const { stream, generation } = await copied();
    await keyBuild(stream.engine, SOURCE, TABLE, generation);
    const step = stream.nextStep(generation);
    const extracted = await stream.extract(step);
    expect(extracted).toMatchObject({ read: 0, more: false, loaded: LOADED });
    expect(await ledgerOf(stream, extracted.batch)).toEqual([{ kind: 'range', read: '0', written: '0' }]);
    expect(await buildOf(stream)).toBe('1');
    // The same step once more finds it loaded, and so does a load that comes all the same.
    expect(await stream.extract(step)).toMatchObject({ batch: extracted.batch, read: 0 });
    await stream.load(extracted.batch);
    expect(await buildOf(stream)).toBe('1');
    await endsWell(stream, generation);
  });

  test('it does not wait for a key that is being built: the load step brings it', async () => {
    const { stream, generation } = await copied();
    const key = await stream.target.client();
    await key.query("BEGIN; SELECT FROM tidemark.generation WHERE state = 'building' FOR UPDATE");
    const extracted = await stream.extract(stream.nextStep(generation));
    expect(extracted.read).toBe(0);
    expect(extracted.loaded).toBeUndefined();
    expect(await ledgerOf(stream, extracted.batch)).toEqual([]);
    await key.query('COMMIT');
    await keyBuild(stream.engine, SOURCE, TABLE, generation);
    await stream.load(extracted.batch);
    expect(await ledgerOf(stream, extracted.batch)).toHaveLength(1);
    await endsWell(stream, generation);
  });

  test('of an increment it moves the watermark', async () => {
    const { stream, generation } = await copied();
    await keyBuild(stream.engine, SOURCE, TABLE, generation);
    await finishBuild(stream.engine, SOURCE, TABLE, generation);
    const before = Number(await watermarkOf(stream));
    const extracted = await stream.extract(stream.nextStep(generation));
    expect(extracted).toMatchObject({ read: 0, loaded: LOADED });
    expect(Number(await watermarkOf(stream))).toBe(before + 1);
    expect(await ledgerOf(stream, extracted.batch)).toHaveLength(1);
    expect(await stream.faults(ROWS)).toEqual([]);
  });

  test.each(['P6', 'P7'] as const)('an attempt that is overtaken at %s leaves one row in the ledger', async (phase) => {
    const { stream, generation } = await copied();
    await keyBuild(stream.engine, SOURCE, TABLE, generation);
    const step = stream.nextStep(generation);
    const held = holdAt(phase);
    const zombie = stream.extract(step).catch(() => null);
    await held.reached;
    noFaults();
    const successor = await stream.extract(step);
    held.goOn();
    await zombie;
    if (successor.loaded === undefined) await stream.load(successor.batch);
    expect(await stream.target.value("SELECT count(*) FROM tidemark.ledger WHERE kind = 'range'")).toBe('1');
    expect(await buildOf(stream)).toBe('1');
    await endsWell(stream, generation);
  });
});
