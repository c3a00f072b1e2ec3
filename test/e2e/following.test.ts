/** Following the ledger as a set: no batch is skipped though a lower id commits later, and what was not confirmed comes again. */
import { openDestination } from '../../destinations/postgres/destination.ts';
import { pruneTouches } from '../../destinations/postgres/touch.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';

/** A ledger row, as a load writes it. */
const LEDGER = `INSERT INTO tidemark.ledger (batch, source, stream, run_id, generation, kind, read, written, unchanged, rejected, superseded, deleted, bytes, hash)
  VALUES ($1, 'bank', 'account', 'r', $2, 'range', 1, 1, 0, 0, 0, 0, 0, '')`;

describeWith({ postgres: true }, 'following the ledger', () => {
  let target: PostgresDatabase;
  const follow = async (follower: string, max = 100) => (await target.query('SELECT batch FROM tidemark.follow($1, $2)', [follower, max])).map(({ batch }) => Number(batch));
  const consumed = (follower: string, batches: readonly number[]) => target.query('SELECT tidemark.consumed($1, $2)', [follower, batches]);
  const commit = (batch: number, generation = 1) => target.query(LEDGER, [batch, generation]);
  const low = (follower: string) => target.value('SELECT low FROM tidemark.follower WHERE name = $1', [follower]);
  const kept = async (follower: string) => Number(await target.value('SELECT count(*) FROM tidemark.follower_batch WHERE follower = $1', [follower]));

  beforeAll(async () => {
    // What may still appear is told by the oldest transaction of the whole server: here it is always one of these tests.
    target = await (await PrivatePostgres.start({ autovacuum: 'off' })).createDatabase('target');
    const destination = openDestination(target.url);
    await destination.ready();
    await destination.close();
    await target.query("INSERT INTO tidemark.watermark (source, stream, generation, version, guarantee) VALUES ('bank', 'account', 1, 1, 'exact')");
    await target.query("INSERT INTO tidemark.generation (source, stream, generation, state, table_schema, table_name, shape_hash, guarantee) VALUES ('bank', 'account', 1, 'current', 'bank', 'account', '', 'exact')");
  });

  test('batch 510 commits after 511: each comes once, and the set of consumed ones does not grow', async () => {
    await commit(509);
    const late = await target.client();
    await late.query('BEGIN');
    await late.query(LEDGER, [510, 1]);
    await commit(511);
    expect(await follow('reports')).toEqual([509, 511]);
    await consumed('reports', [509, 511]);
    expect(await follow('reports')).toEqual([]);
    await late.query('COMMIT');
    expect(await follow('reports')).toEqual([510]);
    await consumed('reports', [510]);
    expect(await follow('reports')).toEqual([]);
    await commit(512);
    await consumed('reports', await follow('reports'));
    expect(await kept('reports')).toBe(0);
  });

  test('what a crashed follower has not confirmed comes again; confirmed in the transaction of its use, each counts once', async () => {
    await commit(520);
    await target.query('CREATE TABLE derived (batch bigint)');
    for (const end of ['ROLLBACK', 'COMMIT']) {
      const client = await target.client();
      await client.query('BEGIN');
      await client.query("INSERT INTO derived SELECT batch FROM tidemark.follow('reports')");
      await client.query("SELECT tidemark.consumed('reports', array(SELECT batch FROM derived))");
      await client.query(end);
      await client.end();
    }
    expect(await follow('reports')).toEqual([]);
    expect(await target.query('SELECT batch FROM derived')).toEqual([{ batch: '520' }]);
  });

  test('two processes of one follower take turns', async () => {
    await commit(530);
    const first = await target.client();
    await first.query('BEGIN');
    expect((await first.query("SELECT batch FROM tidemark.follow('reports')")).rows).toEqual([{ batch: '530' }]);
    const second = target.query("SELECT count(*) AS n FROM tidemark.follow('reports')");
    await first.query("SELECT tidemark.consumed('reports', '{530}')");
    await first.query('COMMIT');
    expect(await second).toEqual([{ n: '0' }]);
  });

  test('a second follower has a position of its own, from the first batch on, in portions', async () => {
    expect(await follow('audit', 2)).toEqual([509, 510]);
    await consumed('audit', [509, 510]);
    expect(await follow('audit', 2)).toEqual([511, 512]);
    await consumed('audit', [512]);
    expect(await follow('audit')).toEqual([511, 520, 530]);
    await expect(consumed('nobody', [509])).rejects.toThrow(/there is no follower nobody/);
  });

  test('batches of a build come with its swap, however long after; those of a build that is dropped never', async () => {
    const building = (generation: number) =>
      target.query("INSERT INTO tidemark.generation (source, stream, generation, state, table_schema, table_name, shape_hash, guarantee) VALUES ('bank', 'account', $1, 'building', 'bank', 'account', '', 'exact')", [generation]);
    await building(2);
    await commit(540, 2);
    await commit(541);
    await consumed('reports', await follow('reports'));
    for (let batch = 542; batch < 545; batch++) {
      await commit(batch);
      await consumed('reports', await follow('reports'));
    }
    expect(await follow('reports')).toEqual([]);
    await target.query("UPDATE tidemark.generation SET state = CASE generation WHEN 2 THEN 'current' ELSE 'old' END; UPDATE tidemark.watermark SET generation = 2");
    expect(await follow('reports')).toEqual([540]);
    await consumed('reports', [540]);
    await building(3);
    await commit(550, 3);
    await target.query("UPDATE tidemark.generation SET state = 'dropped' WHERE generation = 3");
    await commit(551, 2);
    expect(await follow('reports')).toEqual([551]);
    await consumed('reports', [551]);
    expect(await kept('reports')).toBe(0);
  });

  test('an open transaction anywhere keeps the low mark back, and nothing is lost', async () => {
    const open = await target.client();
    await open.query('BEGIN; CREATE TEMPORARY TABLE t (); SELECT pg_current_xact_id()');
    await commit(560, 2);
    const before = await low('reports');
    await consumed('reports', await follow('reports'));
    expect(await kept('reports')).toBe(1);
    expect(Number(await low('reports'))).toBeGreaterThanOrEqual(Number(before));
    await open.query('ROLLBACK');
    await commit(561, 2);
    await consumed('reports', await follow('reports'));
    expect(await kept('reports')).toBe(0);
  });

  test('the touch log is pruned with age; what somebody may not have read leaves a mark', async () => {
    const touch = (batch: number) => target.query("INSERT INTO tidemark.touch (batch, source, stream, old) SELECT $1, 'bank', 'account', jsonb_build_object('n', g::text) FROM generate_series(1, 3) g", [batch]);
    const left = () => target.query('SELECT batch, count(*) AS n, bool_or(old IS NULL) AS mark FROM tidemark.touch GROUP BY batch ORDER BY batch');
    for (const batch of [600, 601, 602, 603]) {
      await commit(batch, 2);
      await touch(batch);
    }
    await target.query("UPDATE tidemark.ledger SET committed_at = now() - CASE batch WHEN 603 THEN interval '1 day' WHEN 600 THEN interval '31 days' ELSE interval '8 days' END WHERE batch >= 600");
    for (const follower of ['reports', 'audit']) {
      await follow(follower);
      await consumed(follower, [600, 601]);
    }
    await consumed('reports', [602]);
    const destination = openDestination(target.url);
    const pruned = await destination.session('test', (session) => pruneTouches(session, 0, 100));
    await destination.close();
    expect(pruned).toEqual({ batches: 2, after: 601 });
    expect(await left()).toEqual([
      { batch: '600', n: '1', mark: 't' },
      { batch: '601', n: '1', mark: 't' },
      { batch: '602', n: '3', mark: 'f' },
      { batch: '603', n: '3', mark: 'f' },
    ]);
  });

  test('a copy of the database on another server, which counts transactions anew, skips nothing', async () => {
    await target.query("UPDATE tidemark.follower SET low = '9000000000'");
    expect(await follow('reports')).toContain(561);
  });
});
