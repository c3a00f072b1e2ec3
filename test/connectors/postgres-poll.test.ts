/** A poll that finds nothing in a large table asks its index, however many old rows lie within the overlap. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres } from '../support/postgres.ts';
import { MiniEngine } from './postgres-engine.ts';

/** More than the 32 MiB up to which a table is looked through whole. */
const ROWS = 300_000;
/** PostgreSQL's PGSTAT_MIN_INTERVAL is a second. */
const STATISTICS_MS = 1_200;

describeWith({ postgres: true }, 'a poll of a large PostgreSQL table', () => {
  test('does not look through it where others have written elsewhere, and finds what is late or has no cursor', async () => {
    const database = await (await PrivatePostgres.quiet()).createDatabase('poll');
    // A fifth of the rows lie within the overlap, all over the table: a server that expects new ones among them would begin at its first page.
    await database.query(`CREATE TABLE item (id bigint PRIMARY KEY, at timestamptz, note text); CREATE INDEX ON item (at); CREATE TABLE other (id int);
      INSERT INTO item SELECT n, timestamptz '2026-01-01' + CASE WHEN n % 5 = 0 THEN interval '1 day' + n * interval '0.1 ms' ELSE n * interval '1 ms' END, repeat('x', 120) FROM generate_series(1, ${ROWS}) n;
      ANALYZE item; CHECKPOINT`);
    const engine = await MiniEngine.for(database, 'item', 'at', { rowsMax: ROWS * 2 });
    await engine.run();
    await engine.run();
    const scans = async () => {
      const [row] = await database.query("SELECT seq_scan AS whole, idx_scan AS by_index FROM pg_stat_user_tables WHERE relname = 'item'");
      return { whole: Number(row!['whole']), byIndex: Number(row!['by_index']) };
    };
    // A session tells of its scans once a second at most, at the end of a statement: those of the runs with this poll, which does not touch the table.
    await sleep(STATISTICS_MS);
    expect(await engine.poll()).toBe(false);
    const before = await scans();
    await database.query('INSERT INTO other VALUES (1)');
    expect(await engine.poll()).toBe(false);
    await sleep(STATISTICS_MS);
    expect(await engine.poll()).toBe(false);
    const after = await scans();
    expect(after.byIndex).toBeGreaterThan(before.byIndex);
    expect(after.whole).toBe(before.whole);

    await database.query(`INSERT INTO item VALUES (-1, timestamptz '2026-01-02', 'late, within the overlap')`);
    expect(await engine.poll()).toBe(true);
    await engine.run();
    expect(await engine.poll()).toBe(false);
    await database.query(`INSERT INTO item VALUES (-2, NULL, 'without a cursor')`);
    expect(await engine.poll()).toBe(true);
    await engine.run();
    await database.query(`INSERT INTO item VALUES (-3, '-infinity', 'below all')`);
    expect(await engine.poll()).toBe(true);
    await engine.run();
    await database.query(`INSERT INTO item VALUES (-4, timestamptz '2026-01-03', 'beyond the top')`);
    expect(await engine.poll()).toBe(true);
    await engine.settle();
  });
});
