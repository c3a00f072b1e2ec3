/** Batches of an append that are copied side by side: they commit in the order of the cursor, each once or not at all, whatever happens to one of them. */
import { onFaultPoint } from '../../pipeline/fault-point.ts';
import type { FaultPhase } from '../../pipeline/fault-point.ts';
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { holdAt, noFaults, untilHeld } from './fault-hook.ts';
import { OneStream, ROWS, SOURCE, TABLE, type Step } from './one-stream.ts';

const SIDE_ROWS = 7;
/** Four batches: 7, 7, 7 and 4 rows. */
const NEW_ROWS = 25;

/** Throws at the `nth` time that the phase is reached; as a process that is gone, also wherever it comes after that. */
function goneAt(phase: FaultPhase, nth: number): void {
  let seen = 0;
  onFaultPoint(async (reached) => {
    if (reached === phase) seen += 1;
    if (seen >= nth) throw new Error(`gone at ${phase} ${nth}`);
  });
}

describeWith({ postgres: true }, 'batches of an append that are copied side by side', () => {
  let stream: OneStream;
  let last = ROWS;

  beforeAll(async () => {
    stream = await OneStream.create({ product: 'postgres', mode: 'append', sideRows: SIDE_ROWS });
    await stream.source.query(`CREATE INDEX ON ${TABLE} (at)`);
    await stream.sync();
  });
  afterEach(noFaults);

  const begin = async (name: string): Promise<Step> => {
    stream.runId = name;
    await stream.insert(last + 1, last + NEW_ROWS);
    last += NEW_ROWS;
    return stream.nextStep((await stream.prepare()).generation);
  };
  const ofRun = (column: string) => stream.target.value(`SELECT string_agg(${column}, ' ' ORDER BY batch) FROM tidemark.ledger WHERE run_id = '${stream.runId}' AND read > 0`);
  const leftOpen = () => stream.target.value(`SELECT count(*) FROM tidemark.batch WHERE run_id = '${stream.runId}' AND state <> 'loaded'`);
  const finish = async (written = NEW_ROWS) => {
    noFaults();
    await stream.sync();
    expect(await stream.faults(written)).toEqual([]);
    expect(await leftOpen()).toBe('0');
  };
  /** A batch that found a known row keeps the way straight into the target shut until eight others had none. */
  const forgetKnownRow = async () => {
    for (let batch = 0; batch < 8; batch += 1) {
      await stream.insert(last + 1, ++last);
      await stream.sync();
    }
  };

  test('are cut by the cursor, follow each other without a gap, and name their rows', async () => {
    const extracted = await stream.extract(await begin('cut'));
    expect(extracted).toMatchObject({ read: NEW_ROWS, more: false, needsTransform: false, loaded: { batches: 4, read: NEW_ROWS, written: NEW_ROWS, unchanged: 0 } });
    expect(await ofRun('read::text')).toBe('7 7 7 4');
    const bounds = await stream.target.query(`SELECT "from", "to", lag("to") OVER (ORDER BY batch) AS before FROM tidemark.ledger WHERE run_id = 'cut' ORDER BY batch OFFSET 1`);
    expect(bounds.map(({ from }) => from)).toEqual(bounds.map(({ before }) => before));
    expect(await stream.target.value(`SELECT display = (SELECT "to" FROM tidemark.ledger WHERE run_id = 'cut' ORDER BY batch DESC LIMIT 1) FROM tidemark.watermark`)).toBe('t');
    expect(await stream.target.value(`SELECT bool_and(l.read = t.rows) FROM tidemark.ledger l LEFT JOIN (SELECT _tidemark_batch AS batch, count(*) AS rows FROM ${SOURCE}.${TABLE} GROUP BY 1) t USING (batch) WHERE run_id = 'cut'`)).toBe('t');
    await finish();
  });

  test('as many as there are go through one session where no other is free', async () => {
    const step = await begin('alone');
    expect(await stream.extract(step, { ...stream.engine, openSpareSource: async () => { throw new Error('none is free'); } })).toMatchObject({ loaded: { batches: 4, read: NEW_ROWS } });
    await finish();
  });

  test('no more rows than one batch may have are read in one step', async () => {
    stream.runId = 'bounded';
    await stream.insert(last + 1, last + 40);
    last += 40;
    const { read, more } = await stream.extract(stream.nextStep((await stream.prepare()).generation));
    expect({ read, more }).toEqual({ read: 28, more: true });
    await finish(40);
  });

  test.each([
    ['P1', 2], ['P6', 1], ['P6', 2], ['P6', 4], ['P7', 1], ['P7', 3],
  ] as const)('a process that is gone at %s, reached %s times', async (phase, nth) => {
    const step = await begin(`gone-${phase}-${nth}`);
    goneAt(phase, nth);
    const told = await stream.extract(step).then(({ read }) => read, () => 0);
    noFaults();
    const committed = Number(await stream.target.value(`SELECT coalesce(sum(read), 0) FROM tidemark.ledger WHERE run_id = '${stream.runId}'`));
    expect(committed).toBeLessThan(NEW_ROWS);
    // What a batch tells that committed and whose worker was gone before it could say so, the ledger tells.
    expect(told).toBeLessThanOrEqual(committed);
    const again = await stream.extract(step);
    if (committed > 0) expect(again).toMatchObject({ read: SIDE_ROWS, more: true });
    await finish();
  });

  test('an attempt that sleeps is overtaken with all that it copies', async () => {
    const step = await begin('asleep');
    const held = holdAt('P6');
    const attempt = stream.extract(step);
    const late = attempt.then(() => 'committed', () => 'refused');
    await untilHeld(held, attempt);
    expect(await stream.extract(step)).toMatchObject({ loaded: { batches: 4, read: NEW_ROWS } });
    held.goOn();
    expect(await late).toBe('refused');
    await finish();
  });

  test('an attempt that sleeps after its first batch is overtaken by the next step', async () => {
    const step = await begin('asleep-later');
    const held = holdAt('P6', 2);
    const attempt = stream.extract(step);
    const late = attempt.then(({ loaded }) => loaded?.batches, () => 'refused');
    await untilHeld(held, attempt);
    expect(await stream.extract(step)).toMatchObject({ read: SIDE_ROWS, more: true });
    await stream.sync();
    held.goOn();
    expect(await late).toBe(1);
    await finish();
  });

  test('rows of one value that are too many are counted, and none is cut off', async () => {
    stream.runId = 'crowd';
    await stream.source.query(`INSERT INTO ${TABLE} SELECT n, 'name ' || n, now() FROM generate_series(${last + 1}, ${last + 40}) n`);
    last += 40;
    await finish(40);
    expect(await ofRun('read::text')).toBe('30 10');
  });

  test('late rows that make a batch too large are counted, and no batch has more than it may', async () => {
    const step = await begin('late');
    await stream.source.query(`INSERT INTO ${TABLE} SELECT n, 'name ' || n, (SELECT max(at) FROM ${TABLE} WHERE id <= ${last - NEW_ROWS}) FROM generate_series(${last + 1}, ${last + 40}) n`);
    last += 40;
    const extracted = await stream.extract(step);
    expect([extracted.read, extracted.more, extracted.loaded]).toEqual([30, true, undefined]);
    await stream.load(extracted.batch);
    await finish(NEW_ROWS + 40);
    expect(Number(await stream.target.value(`SELECT max(read) FROM tidemark.ledger WHERE run_id = 'late'`))).toBeLessThanOrEqual(30);
  });

  test('a row that the target knows stops the batches from its own on', async () => {
    const step = await begin('known');
    const known = last - NEW_ROWS + 10;
    const [row] = await stream.source.query(`SELECT name, at::text AS at FROM ${TABLE} WHERE id = ${known}`);
    await stream.target.query(`INSERT INTO ${SOURCE}.${TABLE} (id, name, at, _tidemark_batch) SELECT ${known}, '${row?.['name']}', '${row?.['at']}', min(batch) FROM tidemark.ledger`);
    expect(await stream.extract(step)).toMatchObject({ read: SIDE_ROWS, more: true, loaded: { batches: 1, written: SIDE_ROWS } });
    await finish(NEW_ROWS - 1);
    await forgetKnownRow();
  });

  test('a row that moves on between two of them comes once, whoever of them has it first', async () => {
    const step = await begin('moved');
    const [first, moved] = [last - NEW_ROWS + 1, last - NEW_ROWS + 5];
    const held = holdAt('P1');
    const extracting = stream.extract(step);
    await untilHeld(held, extracting);
    // The first batch has read it; the fourth reads it too. The first waits for a row of somebody else until the fourth waits for the first.
    await stream.change(moved, moved, `name ${moved}`);
    const blocker = await stream.target.client();
    await blocker.query('BEGIN');
    await blocker.query(`INSERT INTO ${SOURCE}.${TABLE} (id, at) VALUES (${first}, now())`);
    held.goOn();
    await waitFor('a batch that waits for its turn', async () => {
      const waiting = await stream.target.value(`SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND wait_event = 'advisory' AND datname = current_database()`);
      return waiting === '0' ? null : true;
    });
    await blocker.query('ROLLBACK');
    await blocker.end();
    expect((await extracting).read).toBeGreaterThan(0);
    noFaults();
    await stream.sync();
    // An append keeps the version that came first.
    expect((await stream.faults(NEW_ROWS)).filter((fault) => !fault.startsWith(`${moved}: at is`))).toEqual([]);
    expect(await leftOpen()).toBe('0');
  });
});
