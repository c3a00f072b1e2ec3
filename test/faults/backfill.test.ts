/** Slices of a backfill beside live batches of the same stream: which of two versions stays, what a swap does to them, what an attempt too many does. */
import { closeBackfill, planBackfill } from '../../pipeline/backfill.ts';
import { copySlice } from '../../pipeline/backfill-slice.ts';
import { backfillInputSchema } from '../../schemas/backfill-input.ts';
import { describeWith } from '../support/describe-with.ts';
import { crashAt, holdAt, noFaults } from './fault-hook.ts';
import { OneStream, ROWS, SOURCE, TABLE } from './one-stream.ts';

afterEach(noFaults);

const EVERYTHING = { source: SOURCE, stream: TABLE, from: '2000-01-01', to: '2100-01-01', slice: '40000d' };

describeWith({ postgres: true, mariadb: true }, 'a backfill beside live syncs', () => {
  let runs = 0;

  /** One stream that is up to date, and the only slice of a backfill of all its rows. */
  async function begin(product: 'postgres' | 'mariadb' = 'postgres') {
    const stream = await OneStream.create({ product });
    await stream.sync();
    return { stream, ...(await newSlice(stream)) };
  }

  async function newSlice(stream: OneStream, more: object = {}) {
    const runId = `backfill-${++runs}`;
    const plan = await planBackfill(stream.engine, backfillInputSchema.parse({ ...EVERYTHING, ...more }), runId);
    const copy = (id = plan.open[0]!) => copySlice(stream.engine, id, new AbortController().signal, () => undefined);
    const close = () => closeBackfill(stream.engine, { source: SOURCE, stream: TABLE, runId, over: false });
    return { runId, plan, copy, close };
  }

  const watermark = (stream: OneStream) => stream.target.value('SELECT row_to_json(w)::text FROM tidemark.watermark w');
  const stages = (stream: OneStream) => stream.target.value("SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'tidemark_stage' AND relname LIKE '%slice%'");

  test.each(['postgres', 'mariadb'] as const)('%s: a change without a trace in the cursor arrives, the watermark stays', async (product) => {
    const { stream, copy, close } = await begin(product);
    await stream.source.query(`UPDATE ${TABLE} SET name = 'silent' WHERE id <= 5`);
    const before = await watermark(stream);
    expect(await copy()).toEqual({ read: ROWS, written: 5, unchanged: ROWS - 5, rejected: 0, superseded: 0, deleted: 0 });
    expect(await watermark(stream)).toBe(before);
    expect(await stream.differences()).toEqual([]);
    expect(await close()).toMatchObject({ reopened: 0, slices: { total: 1, done: 1, proven: 0 }, counts: { batches: 1, read: ROWS, written: 5 } });
    expect(await stream.target.value("SELECT kind || ' ' || \"from\" || ' ' || \"to\" FROM tidemark.ledger ORDER BY batch DESC LIMIT 1")).toBe('slice 2000-01-01 00:00:00 2100-01-01 00:00:00');
    expect(await stages(stream)).toBe('0');
    expect(await copy()).toMatchObject({ read: 0, written: 0 });
  });

  test('rows of an earlier snapshot do not overwrite what a live batch has written since', async () => {
    const { stream, copy } = await begin();
    const held = holdAt('P4');
    const stale = copy();
    await held.reached;
    await stream.change(1, 10, 'newer');
    stream.runId = 'live';
    await stream.sync();
    held.goOn();
    expect(await stale).toMatchObject({ read: ROWS, written: 0, superseded: 10 });
    expect(await stream.differences()).toEqual([]);
  });

  test('rows that a live batch found unchanged since do not give way to a passing version', async () => {
    const { stream } = await begin();
    // The source's row is x for the slice's snapshot only; its cursor goes on and comes back, as after a restore of a row.
    await stream.source.query(`CREATE TABLE kept AS SELECT * FROM ${TABLE} WHERE id = 3; UPDATE ${TABLE} SET name = 'passing' WHERE id = 3`);
    const slice = await newSlice(stream);
    const held = holdAt('P4');
    const stale = slice.copy();
    await held.reached;
    await stream.source.query(`UPDATE ${TABLE} t SET name = k.name, at = k.at FROM kept k WHERE t.id = k.id`);
    stream.runId = 'live';
    await stream.sync();
    held.goOn();
    expect(await stale).toMatchObject({ superseded: 1, written: 0 });
    expect(await stream.differences()).toEqual([]);
  });

  test('a live batch of an earlier snapshot does not overwrite what a slice has written since', async () => {
    const { stream, copy } = await begin();
    await stream.change(1, 10, 'first');
    stream.runId = 'live';
    const { generation } = await stream.prepare();
    const { batch } = await stream.extract(stream.nextStep(generation));
    await stream.source.query(`UPDATE ${TABLE} SET name = 'silent' WHERE id <= 5`);
    expect(await copy()).toMatchObject({ written: 10 });
    expect(await stream.load(batch)).toMatchObject({ superseded: 10, written: 0 });
    expect(await stream.differences()).toEqual([]);
  });

  test('a slice waits for its turn at the source while a live read takes its snapshot', async () => {
    const { stream, copy } = await begin();
    await stream.change(1, 10, 'first');
    stream.runId = 'live';
    const { generation } = await stream.prepare();
    const step = stream.nextStep(generation);
    const [live, slice] = await Promise.all([stream.extract(step), copy()]);
    await stream.load(live.batch);
    expect(slice).not.toBeNull();
    expect(await stream.differences()).toEqual([]);
  });

  test.each(['P1', 'P3', 'P4', 'P5', 'P6', 'P7'] as const)('a worker that dies at %s: the slice is done once', async (phase) => {
    const { stream, copy, close, runId } = await begin();
    await stream.source.query(`UPDATE ${TABLE} SET name = 'silent' WHERE id <= 5`);
    crashAt(phase);
    await expect(copy()).rejects.toThrow();
    noFaults();
    await copy();
    await close();
    expect(await stream.target.value(`SELECT count(*) || ' ' || sum(written) FROM tidemark.ledger WHERE run_id = '${runId}'`)).toBe('1 5');
    expect(await stream.differences()).toEqual([]);
    expect(await stages(stream)).toBe('0');
  });

  test('an attempt that wakes up after the slice was done commits nothing', async () => {
    const { stream, copy, runId } = await begin();
    const held = holdAt('P1');
    const zombie = copy();
    await held.reached;
    await copy();
    const rejected = expect(zombie).rejects.toMatchObject({ code: 'batch.fenced' });
    held.goOn();
    await rejected;
    expect(await stream.target.value(`SELECT count(*) FROM tidemark.ledger WHERE run_id = '${runId}'`)).toBe('1');
  });

  test('a full refresh in the middle: a slice goes into the generation that is current when it commits', async () => {
    const { stream, copy, close } = await begin();
    await stream.source.query(`UPDATE ${TABLE} SET name = 'silent' WHERE id <= 5`);
    const held = holdAt('P4');
    const slice = copy();
    await held.reached;
    stream.runId = 'full';
    await stream.source.query(`UPDATE ${TABLE} SET name = 'later' WHERE id <= 2`);
    await stream.sync(true);
    held.goOn();
    expect(await slice).toMatchObject({ written: 0, superseded: ROWS });
    expect((await close()).reopened).toBe(0);
    expect(await stream.differences()).toEqual([]);
  });

  test('a slice that went into a generation which was replaced is read again', async () => {
    const { stream, copy, close } = await begin();
    stream.runId = 'full';
    const again = await stream.prepare(true);
    if (again.action !== 'build') throw new Error('a full refresh builds');
    for (const part of again.parts) await stream.copy(stream.nextStep(again.generation), part);
    await copy();
    await finish(stream, again.generation);
    const end = await close();
    expect(end.reopened).toBe(1);
    expect(await copy()).toMatchObject({ read: ROWS });
    expect(await close()).toMatchObject({ reopened: 0, slices: { done: 1 } });
    expect(await stream.differences()).toEqual([]);
  });

  async function finish(stream: OneStream, generation: number): Promise<void> {
    const { finishBuild, keyBuild } = await import('../../pipeline/build.ts');
    await stream.source.query(`UPDATE ${TABLE} SET name = 'differs', at = at + interval '1 second' WHERE id = 1`);
    await keyBuild(stream.engine, SOURCE, TABLE, generation);
    const { batch } = await stream.extract(stream.nextStep(generation));
    await stream.load(batch);
    await finishBuild(stream.engine, SOURCE, TABLE, generation);
  }

  test('only gaps: what the ledger proves is left out, a range beyond the watermark is not proven', async () => {
    const { stream } = await begin();
    const years = { from: '2000-01-01', to: '2100-01-01', slice: '3650d', onlyGaps: true };
    const first = await newSlice(stream, years);
    expect(first.plan.slices.proven).toBeGreaterThan(0);
    expect(first.plan.open.length).toBeGreaterThan(0);
    expect(first.plan.open.length + first.plan.slices.proven).toBe(first.plan.slices.total);
    for (const id of first.plan.open) await first.copy(id);
    const second = await newSlice(stream, years);
    expect(second.plan.open).toEqual([]);
    expect(second.plan.slices.proven).toBe(second.plan.slices.total);
    await stream.target.query("DELETE FROM tidemark.ledger WHERE kind = 'slice' AND batch = (SELECT max(batch) FROM tidemark.ledger WHERE kind = 'slice')");
    expect((await newSlice(stream, years)).plan.open).toHaveLength(1);
  });

  test('paused: nothing is read, and it goes on after that', async () => {
    const { stream, copy } = await begin();
    await stream.target.query('UPDATE tidemark.source SET paused = true');
    expect(await copy()).toBeNull();
    await stream.target.query('UPDATE tidemark.source SET paused = false');
    expect(await copy()).toMatchObject({ read: ROWS });
  });

  test.each([
    [{ from: 'soon' }, 'usage.invalid'],
    [{ from: '2100-01-01' }, 'usage.invalid'],
    [{ slice: '1s' }, 'usage.invalid'],
    [{ from: null }, 'usage.invalid'],
    [{ stream: 'nothing' }, 'usage.unknown_stream'],
  ])('%j is refused as %s', async (wrong, code) => {
    const stream = await OneStream.create({ product: 'postgres' });
    await stream.sync();
    await expect(newSlice(stream, wrong)).rejects.toMatchObject({ code });
  });
});
