/** The watermark cases of Db2's connector, on Derby for real: nothing lost, nothing stale, and a poll that says no only when it may. */
import { lowerBound, moveClock, withHeld, type Held, type State } from '../../connectors/db2/position.ts';
import type { RowRead } from '../../connectors/connector.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { readRows } from '../conformance/copy-text.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDerby, type DerbyClient, type DerbyDatabase } from '../support/derby.ts';
import { MiniEngine, openSession, streamOf } from './db2-engine.ts';

const clockIn = (seconds: number): string => `{fn TIMESTAMPADD(SQL_TSI_SECOND, ${seconds}, CURRENT_TIMESTAMP)}`;

/** Reads to the end. */
async function drained(read: RowRead): Promise<string> {
  return readRows(read, 4).then(() => 'none', codeOf);
}

const codeOf = (error: unknown): string => (error instanceof TidemarkError ? error.code : 'other');

describeWith({ db2: true }, 'watermark of db2', () => {
  let database: DerbyDatabase;

  beforeAll(async () => {
    database = await createDerby('mark');
    for (const table of ['same', 'paged', 'nulls', 'future', 'days', 'numbers', 'words', 'rolled', 'moves', 'late', 'quiet', 'twokeys', 'emptied', 'reach']) {
      const cursor = table === 'days' ? 'date' : table === 'numbers' ? 'bigint' : table === 'words' ? 'varchar(20)' : 'timestamp';
      await database.run(`CREATE TABLE ${table} (id int NOT NULL, part varchar(10) NOT NULL, c ${cursor}, v varchar(20), PRIMARY KEY (id, part))`);
      await database.run(`CREATE INDEX ${table}_c ON ${table} (c, id, part)`);
    }
  });

  const insert = (table: string, id: number, cursor: string, value = 'v', client: DerbyDatabase | DerbyClient = database) =>
    client.run(`INSERT INTO ${table} VALUES (${id}, 'a', ${cursor}, '${value}')`);
  const at = (text: string): string => `TIMESTAMP('${text}')`;
  const ids = (engine: MiniEngine): number[] => [...engine.target.keys()].map(Number).sort((a, b) => a - b);

  test('rows of one cursor value on both sides of a batch, and more of them later (W03, W04, W23)', async () => {
    for (let id = 1; id <= 7; id += 1) await insert('same', id, at('2024-01-02 03:04:05.123456'));
    const engine = await MiniEngine.open(database, 'same', 'C');
    await engine.run();
    expect(engine.batches).toBe(3);
    await insert('same', 8, at('2024-01-02 03:04:05.123456'));
    expect(await engine.poll()).toBe(true);
    await engine.run();
    expect(ids(engine)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('microseconds within a millisecond, paged one by one (W05)', async () => {
    for (let id = 1; id <= 5; id += 1) await insert('paged', id, at(`2024-01-02 03:04:05.12345${id}`));
    const engine = await MiniEngine.open(database, 'paged', 'C', 1);
    expect(await engine.run()).toBe(5);
    expect(engine.position?.display).toBe('2024-01-02T03:04:05.123455Z');
    expect(await engine.poll()).toBe(false);
    expect(await engine.run()).toBe(1);
  });

  test('NULL cursors are read in each run, once, and filled or cleared ones follow (W07)', async () => {
    await insert('nulls', 1, 'NULL');
    for (const id of [2, 3, 4]) await insert('nulls', id, at(`2024-01-02 03:04:0${id}`));
    const engine = await MiniEngine.open(database, 'nulls', 'C', 2);
    expect(await engine.run()).toBe(4);
    expect(await engine.poll()).toBe(false);
    await database.run(`UPDATE nulls SET c = NULL, v = 'cleared' WHERE id = 2`);
    await insert('nulls', 5, 'NULL');
    expect(await engine.poll()).toBe(true);
    await engine.run();
    await database.run(`UPDATE nulls SET c = ${at('2024-01-02 03:05:00')}, v = 'filled' WHERE id = 1`);
    await engine.run();
    expect([...engine.target.values()].filter((row) => /cleared|filled/.test(row))).toHaveLength(2);
    expect(ids(engine)).toEqual([1, 2, 3, 4, 5]);
  });

  test('a row in the far future is loaded each run and does not hold up the others (W10)', async () => {
    await insert('future', 1, at('2024-01-02 03:04:05'));
    await insert('future', 2, at('9999-12-31 23:59:59.999999'));
    const engine = await MiniEngine.open(database, 'future', 'C');
    await engine.run();
    expect([ids(engine), engine.futureRows, engine.position?.display]).toEqual([[1, 2], 1, '2024-01-02T03:04:05.0Z']);
    expect(await engine.poll()).toBe(false);
    await insert('future', 3, clockIn(-5));
    await engine.run();
    expect([ids(engine), engine.futureRows]).toEqual([[1, 2, 3], 1]);
  });

  test('a cursor ahead of the clock within the limit does not hide rows written now (X23)', async () => {
    const table = 'late';
    await insert(table, 1, clockIn(3_600));
    const engine = await MiniEngine.open(database, table, 'C');
    await engine.run();
    await insert(table, 2, 'CURRENT_TIMESTAMP');
    await engine.run();
    expect(ids(engine)).toEqual([1, 2]);
  });

  test('day cursors: a row of the same day, inserted later (W21)', async () => {
    await insert('days', 1, 'CURRENT_DATE');
    const engine = await MiniEngine.open(database, 'days', 'C');
    await engine.run();
    await insert('days', 2, 'CURRENT_DATE');
    expect(await engine.poll()).toBe(true);
    await engine.run();
    expect(ids(engine)).toEqual([1, 2]);
  });

  test('64-bit counters and text cursors keep their digits and their order (W14, W15, W22)', async () => {
    await insert('numbers', 1, '9007199254740993');
    await insert('numbers', 2, '9007199254740992');
    const numbers = await MiniEngine.open(database, 'numbers', 'C', 1);
    await numbers.run();
    await insert('numbers', 3, '9007199254740994');
    expect([await numbers.run(), ids(numbers), numbers.position?.display]).toEqual([2, [1, 2, 3], '9007199254740994']);
    for (const [id, word] of ["it''s", 'back\\slash', 'Ärger', 'b', ''].entries()) await insert('words', id, `'${word}'`);
    const words = await MiniEngine.open(database, 'words', 'C', 1);
    await words.run();
    expect(ids(words)).toEqual([0, 1, 2, 3, 4]);
  });

  test('a row that moves while it is paged is read at its new place (W08), and two key columns page rightly', async () => {
    for (let id = 1; id <= 6; id += 1) await insert('moves', id, at(`2024-01-02 03:04:0${id}`));
    const engine = await MiniEngine.open(database, 'moves', 'C', 2);
    await engine.batch();
    await database.run(`UPDATE moves SET c = ${at('2024-01-02 04:00:00')}, v = 'moved' WHERE id = 5`);
    while ((await engine.batch()).more) expect(engine.batches).toBeLessThan(10);
    await engine.run();
    expect(engine.target.get('5')).toContain('moved');
    for (const part of ['x', 'y', 'z']) await database.run(`INSERT INTO twokeys VALUES (1, '${part}', ${at('2024-01-02 03:04:05')}, 'v'), (2, '${part}', ${at('2024-01-02 03:04:05')}, 'v')`);
    const two = await MiniEngine.open(database, 'twokeys', 'C', 1);
    expect([await two.run(), two.batches]).toEqual([6, 6]);
  });

  test('a read waits for a row that is not committed: it brings late commits (W01) and never rolled-back rows (W24)', async () => {
    await insert('rolled', 1, at('2024-01-02 03:04:05'));
    const engine = await MiniEngine.open(database, 'rolled', 'C');
    await engine.run();
    const [late, undone] = [database.client(), database.client()];
    for (const writer of [late, undone]) await writer.run('autocommit off');
    await insert('rolled', 2, at('2024-01-02 03:04:06'), 'v', late);
    await insert('rolled', 3, at('2024-01-02 03:04:07'), 'v', undone);
    await insert('rolled', 4, at('2024-01-02 03:04:10'));
    const run = engine.run();
    // Side by side: the read waits for locks as long as Derby lets it, a few seconds.
    await Promise.all([late.run('commit'), undone.run('rollback')]);
    expect([await run, ids(engine)]).toEqual([3, [1, 2, 4]]);
    await insert('rolled', 5, at('2024-01-02 03:04:08'), 'v', late);
    await insert('rolled', 6, at('2024-01-02 03:04:11'));
    expect(await engine.session.readFrom(engine.stream, null, { rowsMax: 100 }, 'copy-text').then(drained, codeOf)).toBe('source.read_interrupted');
    await late.run('rollback');
  });

  test('a transaction that was open at the last run is known, and the next run reaches back to before it began', async () => {
    await database.run('CREATE TABLE elsewhere (id int)');
    await insert('reach', 1, at('2024-01-02 03:04:05'));
    const engine = await MiniEngine.open(database, 'reach', 'C');
    await engine.run();
    const writer = database.client();
    await writer.run('autocommit off');
    await writer.run('INSERT INTO elsewhere VALUES (1)');
    await insert('reach', 2, at('2024-01-02 03:04:06'));
    expect(await engine.run()).toBe(2);
    expect(engine.position?.state['frozen']).toMatchObject({ open: { ids: [expect.stringMatching(/\d/)] } });
    await writer.run('commit');
    expect([await engine.run(), await engine.run()]).toEqual([2, 1]);
  });

  test('runs without new rows neither move nor reset the position, also after deletes (W20)', async () => {
    for (const id of [1, 2]) await insert('quiet', id, at(`2024-01-02 03:04:0${id}`));
    const engine = await MiniEngine.open(database, 'quiet', 'C');
    await engine.run();
    await engine.run();
    await database.run('DELETE FROM quiet');
    await engine.run();
    expect(engine.position?.display).toBe('2024-01-02T03:04:02.0Z');
    await insert('quiet', 3, at('2024-01-02 03:04:03'));
    await engine.run();
    expect(ids(engine)).toEqual([1, 2, 3]);
  });

  test('a table dropped and made again is history_lost (X03)', async () => {
    await insert('emptied', 1, at('2024-01-02 03:04:05'));
    const engine = await MiniEngine.open(database, 'emptied', 'C');
    await engine.run();
    await database.run('DROP TABLE emptied');
    await database.run('CREATE TABLE emptied (id int NOT NULL, part varchar(10) NOT NULL, c timestamp, v varchar(20), PRIMARY KEY (id, part))');
    const session = await openSession(database.connection);
    const again = await streamOf(session, 'emptied', 'C');
    if (engine.position === null) throw new Error('no position');
    await expect(session.poll(again, engine.position)).rejects.toMatchObject({ code: 'source.history_lost' });
    await expect(session.readFrom(again, engine.position, { rowsMax: 10 }, 'copy-text')).rejects.toMatchObject({ code: 'source.history_lost' });
  });
});

describe('reaching back', () => {
  const held = (at: string, bound: string | null, ids: readonly string[] = []): Held => ({ at: `2024-01-01 ${at}`, bound: bound === null ? null : `2024-01-01 ${bound}`, ids });
  const state = (oldest: string | null, ids: readonly string[], history: readonly Held[]): State => ({
    version: 1,
    cursor: 'C',
    overlapSeconds: 60,
    history,
    run: null,
    frozen: { bound: '2024-01-01 10:00:00', clock: '2024-01-01 10:00:05', fence: null, tail: null, open: { oldest: oldest === null ? null : `2024-01-01 ${oldest}`, ids, at: '2024-01-01 10:00:05' } },
  });
  const history = [held('08:00:05', '08:00:00'), held('09:00:05', '09:00:00', ['t1']), held('10:00:05', '10:00:00', ['t1', 't2'])];

  test('nothing was open: only the bound itself is read again', () => {
    expect(lowerBound(state(null, [], history), 'time')).toBe('2024-01-01 10:00:00');
  });

  test('to the bound that was held before the oldest open transaction began', () => {
    expect(lowerBound(state('09:30:00', [], history), 'time')).toBe('2024-01-01 09:00:00');
    expect(lowerBound(state('08:30:00', [], history), 'number')).toBe('2024-01-01 08:00:00');
  });

  test('within the clock tolerance of its begin an entry does not count', () => {
    expect(lowerBound(state('09:00:05.5', [], history), 'number')).toBe('2024-01-01 08:00:00');
  });

  test('where only names are told, to the last position without any of them', () => {
    expect(lowerBound(state(null, ['t2'], history), 'number')).toBe('2024-01-01 09:00:00');
    expect(lowerBound(state(null, ['t1'], history), 'number')).toBe('2024-01-01 08:00:00');
    expect(lowerBound(state(null, ['t1'], history.slice(1)), 'number')).toBeNull();
  });

  test('a transaction older than all that was held: to its begin and the overlap, or from the first row', () => {
    expect(lowerBound(state('07:00:00', [], history), 'time')).toBe('2024-01-01 06:58:59');
    expect(lowerBound(state('07:00:00', [], history), 'number')).toBeNull();
  });

  test('where the source does not tell, the overlap is read again', () => {
    const unknown = state(null, [], history);
    const blind = { ...unknown, frozen: { ...unknown.frozen, open: null } };
    expect(lowerBound(blind, 'time')).toBe('2024-01-01 09:59:00');
    expect(lowerBound(blind, 'number')).toBe('2024-01-01 09:00:00');
  });

  test('what is held stays bounded, and its newest and oldest entries stay', () => {
    let kept: readonly Held[] = [];
    for (let second = 0; second < 2_000; second += 1) {
      const clock = moveClock('2024-01-01 00:00:00.5', second);
      kept = withHeld(kept, { bound: clock, clock, fence: null, tail: null, open: { oldest: null, ids: [], at: clock } });
    }
    expect(kept.length).toBeLessThanOrEqual(32);
    expect(kept.at(-1)?.bound).toBe('2024-01-01 00:33:19.5');
    expect(kept[0]?.bound).toBe('2024-01-01 00:00:00.5');
    for (const back of [10, 100, 1_000]) {
      const wanted = moveClock('2024-01-01 00:33:19.5', -back);
      const found = kept.findLast((each) => each.at < wanted)?.at ?? '';
      expect(found >= moveClock('2024-01-01 00:33:19.5', -back * 3 - 2)).toBe(true);
    }
  });
});
