/** Deletes beside batches of an earlier or later snapshot: nothing older brings a row back, nothing newer is deleted. */
import { scanDeletes } from '../../pipeline/deletes/scan.ts';
import { planBackfill } from '../../pipeline/backfill.ts';
import { copySlice } from '../../pipeline/backfill-slice.ts';
import { backfillInputSchema } from '../../schemas/backfill-input.ts';
import { describeWith } from '../support/describe-with.ts';
import { holdAt, noFaults } from './fault-hook.ts';
import { OneStream, ROWS, SOURCE, TABLE } from './one-stream.ts';

afterEach(noFaults);

const EVERYTHING = { source: SOURCE, stream: TABLE, from: '2000-01-01', to: '2100-01-01', slice: '40000d' };

describeWith({ postgres: true, mariadb: true }, 'deletes beside other batches', () => {
  let runs = 0;

  /** One stream that is up to date, with `deletes`. */
  async function begin(product: 'postgres' | 'mariadb', deletes: object) {
    const stream = await OneStream.create({ product });
    await stream.target.query(`UPDATE tidemark.stream SET settings = jsonb_set(settings, '{deletes}', '${JSON.stringify(deletes)}')`);
    await stream.sync();
    const newSlice = async () => {
      const plan = await planBackfill(stream.engine, backfillInputSchema.parse(EVERYTHING), `backfill-${++runs}`);
      return () => copySlice(stream.engine, plan.open[0]!, new AbortController().signal, () => undefined);
    };
    const scan = () => scanDeletes(stream.engine, { source: SOURCE, stream: TABLE, runId: stream.runId, step: `d.${++runs}` }, new AbortController().signal, () => undefined);
    const live = (id: number) => stream.target.value(`SELECT count(*) FROM ${SOURCE}.${TABLE} t WHERE id = ${id} AND to_jsonb(t)->>'_tidemark_deleted_at' IS NULL`);
    return { stream, newSlice, scan, live };
  }

  const TOMBSTONE = { detect: 'tombstone', column: 'name', is: 'gone' };
  const SCAN = { detect: 'scan', everySeconds: null };

  test.each([['postgres', 'hard'], ['postgres', 'soft'], ['mariadb', 'hard']] as const)('%s, %s: a slice that was read before a tombstone does not bring the row back', async (product, apply) => {
    const { stream, newSlice, live } = await begin(product, { ...TOMBSTONE, apply });
    const slice = await newSlice();
    const held = holdAt('P4');
    const stale = slice();
    await held.reached;
    await stream.change(3, 3, 'gone');
    stream.runId = 'live';
    await stream.sync();
    expect(await live(3)).toBe('0');
    held.goOn();
    expect(await stale).toMatchObject({ read: ROWS, written: 0, rejected: 0 });
    expect(await live(3)).toBe('0');
    // The record goes once nothing older can come.
    stream.runId = 'later';
    await stream.change(4, 4, 'another');
    await (await newSlice())();
    await stream.sync();
    expect(await live(4)).toBe('1');
  });

  test.each([['postgres', 'hard'], ['mariadb', 'soft']] as const)('%s, %s: a slice that was read before a scan does not bring the row back', async (product, apply) => {
    const { stream, newSlice, scan, live } = await begin(product, { ...SCAN, apply });
    const slice = await newSlice();
    const held = holdAt('P4');
    const stale = slice();
    await held.reached;
    await stream.source.query(`DELETE FROM ${TABLE} WHERE id = 3`);
    expect(await scan()).toMatchObject({ deleted: 1 });
    held.goOn();
    expect(await stale).toMatchObject({ read: ROWS, written: 0, rejected: 0 });
    expect(await live(3)).toBe('0');
  });

  test.each(['postgres', 'mariadb'] as const)('%s: a row that comes back while the scan runs stays', async (product) => {
    const { stream, newSlice, scan, live } = await begin(product, { ...SCAN, apply: 'hard' });
    await stream.source.query(`CREATE TABLE kept AS SELECT * FROM ${TABLE} WHERE id = 3`);
    await stream.source.query(`DELETE FROM ${TABLE} WHERE id IN (3, 4)`);
    const held = holdAt('P1');
    const scanning = scan();
    await held.reached;
    await stream.source.query(`INSERT INTO ${TABLE} SELECT * FROM kept`);
    // Read after the scan's snapshot, and found equal to what the target has.
    expect(await (await newSlice())()).toMatchObject({ read: ROWS - 1, written: 0 });
    held.goOn();
    expect(await scanning).toMatchObject({ deleted: 1 });
    expect([await live(3), await live(4)]).toEqual(['1', '0']);
  });
});
