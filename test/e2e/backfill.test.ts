/** `tidemark backfill` on real servers: beside live syncs and updates, through killed workers, pauses and cancels, and from a client. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { compareTables } from '../support/compare.ts';
import { describeWith, repositoryRoot } from '../support/describe-with.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { exportHistory, listWorkflows, temporal } from '../support/temporal.ts';
import { Tidemark, type StreamResult } from '../support/tidemark.ts';

const ROWS = 2000;
const MONTH = ['--from', '2024-01-01', '--to', '2024-02-01'];

interface Backfilled extends StreamResult {
  readonly slices: { readonly total: number; readonly done: number; readonly proven: number };
}

describeWith({ postgres: true, mariadb: true, temporal: true }, 'backfill', () => {
  let shop: PostgresDatabase;
  let branch: MariadbDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const backfill = async (...args: string[]) => (await tidemark.must('backfill', ...args, '--json')).streams![0] as Backfilled;
  const watermarks = () => target.value("SELECT json_agg(w ORDER BY source, stream)::text FROM tidemark.watermark w WHERE source IN ('shop', 'branch') AND stream <> 'busy'");
  const differences = async (source: PostgresDatabase | MariadbDatabase, table: string, into: string) => (await compareTables(source, table, target, into, ['id'])).differences;
  const doneSlices = async () => Number(await target.value("SELECT count(*) FROM tidemark.slice WHERE state = 'done'"));
  /** Keeps a load of this row waiting. */
  const rowHeld = async (id: number) => {
    const holder = await target.client();
    await holder.query(`BEGIN; SELECT FROM shop.held WHERE id = ${id} FOR UPDATE`);
    return { letGo: async () => void (await holder.query('ROLLBACK')) };
  };

  beforeAll(async () => {
    [shop, branch, target] = [await createDatabase('shop'), await createMariadb('branch'), await createDatabase('target')];
    for (const table of ['item', 'busy', 'held']) {
      await shop.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text, at timestamptz NOT NULL); CREATE INDEX ON ${table} (at)`);
      await shop.query(`INSERT INTO ${table} SELECT n, 'first', '2024-01-01Z'::timestamptz + n * interval '20 minutes' FROM generate_series(1, ${ROWS}) n`);
    }
    await shop.query(`CREATE TABLE entry (id bigint PRIMARY KEY, v text); INSERT INTO entry SELECT n, 'first' FROM generate_series(1, ${ROWS}) n; CREATE TABLE whole (id int PRIMARY KEY, v text); INSERT INTO whole VALUES (1, 'x')`);
    await branch.query(`CREATE TABLE sale (id int PRIMARY KEY, v varchar(20), at datetime(6) NOT NULL); INSERT INTO sale SELECT seq, 'first', '2024-01-01' + INTERVAL seq * 20 MINUTE FROM seq_1_to_${ROWS}`);
    const file = `destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - id: shop
    kind: postgres
    connection: ${shop.connection}
    streams: [{ table: item, cursor: at }, { table: busy, cursor: at }, { table: held, cursor: at }, { table: entry, cursor: id }, { table: whole }]
  - { id: branch, kind: mysql, connection: ${branch.connection}, streams: [{ table: sale, cursor: at }] }
`;
    tidemark = await Tidemark.start(file, { ...shop.secrets, ...branch.secrets, DESTINATION_URL: target.url }, 2);
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test('a range by time: what changed without a trace arrives, what lies outside does not, the watermark stays', async () => {
    await shop.query("UPDATE item SET v = 'silent' WHERE id % 10 = 0");
    const before = await watermarks();
    const result = await backfill('shop', 'item', '--from', '2024-01-05', '--to', '2024-01-15', '--slice', '1d');
    const changed = Number(await shop.value("SELECT count(*) FROM item WHERE v = 'silent' AND at >= '2024-01-05Z' AND at < '2024-01-15Z'"));
    expect(result).toMatchObject({ status: 'completed', target: 'shop.item', written: changed, read: 720, batches: 10, slices: { total: 10, done: 10, proven: 0 } });
    expect(await target.value("SELECT count(*) FROM shop.item WHERE v = 'silent' AND (at < '2024-01-05Z' OR at >= '2024-01-15Z')")).toBe('0');
    expect(await watermarks()).toBe(before);
    await backfill('shop', 'item', '--from', '2024-01-01', '--to', '2025-01-01', '--slice', '4w', '--parallel', '4');
    expect(await differences(shop, 'item', 'shop.item')).toEqual([]);
    expect(await backfill('shop', 'item', ...MONTH)).toMatchObject({ written: 0, status: 'completed' });
    const { runs } = await tidemark.must('runs', 'shop', '--json');
    expect(runs?.[0]).toMatchObject({ kind: 'backfill', status: 'completed', written: 0, missing: null, endedAt: expect.any(String) });
  });

  test('a range by number, whose bounds do not pass through Temporal', async () => {
    await shop.query("UPDATE entry SET v = 'silent' WHERE id <= 1000");
    const result = await backfill('shop', 'entry', '--from', '1', '--to', '777777777', '--slice', '100000000');
    expect(result).toMatchObject({ read: ROWS, written: 1000, slices: { total: 8 } });
    expect(await differences(shop, 'entry', 'shop.entry')).toEqual([]);
    const [address, namespace] = [tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? ''];
    const workflows = await waitFor('it in the list', () => {
      const found = listWorkflows(address, namespace).filter(({ execution }) => execution.workflowId.startsWith('backfill/shop/entry'));
      return found.length > 0 ? found : null;
    });
    expect(workflows).toHaveLength(1);
    for (const { execution } of workflows) expect(JSON.stringify(exportHistory(address, namespace, execution))).not.toMatch(/777777777|Nzc3Nzc3Nz/);
  });

  test('MariaDB: a range by time', async () => {
    await branch.query("UPDATE sale SET v = 'silent' WHERE id % 10 = 0");
    expect(await backfill('branch', 'sale', ...MONTH, '--slice', '7d')).toMatchObject({ status: 'completed', written: ROWS / 10, read: ROWS });
    expect(await differences(branch, 'sale', 'branch.sale')).toEqual([]);
  });

  test('beside live syncs and concurrent updates it ends equal', async () => {
    let writing = true;
    const writer = (async () => {
      for (let n = 0; writing; n += 1) {
        await shop.query(`UPDATE busy SET v = 'round ${n}'${n % 3 === 0 ? '' : ', at = clock_timestamp()'} WHERE id % 37 = ${n % 37}`);
      }
    })();
    const live = (async () => {
      while (writing) await tidemark.must('sync', 'shop', '--stream', 'busy', '--json');
    })();
    try {
      await backfill('shop', 'busy', ...MONTH, '--slice', '12h', '--parallel', '4');
    } finally {
      writing = false;
      await Promise.all([writer, live]);
    }
    await tidemark.must('sync', 'shop', '--stream', 'busy', '--json');
    await backfill('shop', 'busy', '--from', '2024-01-01', '--to', '2100-01-01', '--slice', '5000d');
    expect(await differences(shop, 'busy', 'shop.busy')).toEqual([]);
  });

  test('a killed worker’s slices are picked up, each counted once', async () => {
    await shop.query("UPDATE held SET v = 'killed'");
    const before = await doneSlices();
    const running = tidemark.begin('backfill', 'shop', 'held', ...MONTH, '--slice', '12h', '--json');
    await waitFor('some slices', async () => ((await doneSlices()) > before + 5 ? true : null));
    await tidemark.workers[0]!.kill();
    tidemark.startWorker();
    const { code, json, stdout } = await running.result;
    expect([code, stdout]).toEqual([0, expect.any(String)]);
    expect(json?.streams?.[0]).toMatchObject({ status: 'completed', batches: 62, read: ROWS, written: ROWS });
    expect(await differences(shop, 'held', 'shop.held')).toEqual([]);
  });

  test('pause holds it between slices, resume lets it go on; a cancel keeps what is done, only gaps takes the rest', async () => {
    // The ledger as if nothing had been proven of these rows but what the slices below prove.
    await target.query("DELETE FROM tidemark.ledger WHERE stream = 'held' AND kind IN ('range', 'slice'); UPDATE tidemark.generation SET display = NULL WHERE stream = 'held'");
    await shop.query("UPDATE held SET v = 'paused'");
    const before = await doneSlices();
    // 18 rows in a slice: its twelfth waits until the pause is there, its 67th until the cancel is, however fast the slices before them are.
    const [twelfth, late] = [await rowHeld(200), await rowHeld(1200)];
    const running = tidemark.begin('backfill', 'shop', 'held', ...MONTH, '--slice', '6h', '--parallel', '1', '--json');
    await waitFor('some slices', async () => ((await doneSlices()) > before + 2 ? true : null));
    await tidemark.must('pause', 'shop', '--stream', 'held', '--json');
    await twelfth.letGo();
    const held = await waitFor('the slices to stand still', async () => {
      const now = await doneSlices();
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return (await doneSlices()) === now ? now : null;
    });
    await tidemark.must('resume', 'shop', '--stream', 'held', '--json');
    await waitFor('more slices', async () => ((await doneSlices()) > held ? true : null));
    running.kill('SIGINT');
    expect((await running.result).code).toBe(130);
    await late.letGo();
    // A command that is interrupted ends after its grace, whether its run has ended by then or not.
    await waitFor('the run to be cancelled', async () => {
      const last = (await tidemark.must('runs', 'shop', '--json')).runs?.[0];
      expect(last).toMatchObject({ kind: 'backfill' });
      return last?.status === 'cancelled' ? true : null;
    });
    const after = await doneSlices();
    expect(after - before).toBeLessThan(124);
    const rest = await backfill('shop', 'held', ...MONTH, '--slice', '6h', '--only-gaps', '--parallel', '4');
    expect(rest.slices.proven).toBeGreaterThan(0);
    expect(rest.slices).toMatchObject({ total: 124, done: 124 - rest.slices.proven });
    expect(await differences(shop, 'held', 'shop.held')).toEqual([]);
    expect(await backfill('shop', 'held', ...MONTH, '--slice', '6h', '--only-gaps')).toMatchObject({ batches: 0, slices: { total: 124, proven: 124 } });
  });

  test('the client of the examples starts one and gets its counts', async () => {
    const run = spawnSync(process.execPath, [join(repositoryRoot, 'examples', 'backfill-client.ts'), 'shop', 'item', '2024-01-01', '2024-01-03', tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? ''], { encoding: 'utf8', timeout: 60_000 });
    expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(run.stdout)).toMatchObject({ slices: { total: 2, done: 2 }, counts: { batches: 2, read: 143 } });
  });

  test.each([
    [['shop', 'item', '--from', '2024-02-01', '--to', '2024-01-01'], 2, 'usage.invalid'],
    [['shop', 'item', '--from', 'soon', '--to', '2024-01-01'], 2, 'usage.invalid'],
    [['shop', 'entry', '--from', '2024-01-01', '--to', '2024-02-01'], 2, 'usage.invalid'],
    [['branch', 'sale', '--from', '2024-01-01T00:00:00Z', '--to', '2024-02-01'], 2, 'usage.invalid'],
    [['shop', 'item', ...MONTH, '--slice', '1s'], 2, 'usage.invalid'],
    [['shop', 'item', ...MONTH, '--parallel', '0'], 2, 'usage.invalid'],
    [['shop', 'item', '--from', '2024-01-01'], 2, 'usage.invalid'],
    [['shop', 'nothing', ...MONTH], 2, 'usage.unknown_stream'],
    [['nobody', 'item', ...MONTH], 2, 'usage.unknown_source'],
    [['shop', 'whole', '--from', '1', '--to', '2'], 1, 'source.cursor_missing'],
  ])('%j ends with %i, %s', async (args, code, error) => {
    const run = await tidemark.run('backfill', ...args, '--json');
    expect([run.code, run.json?.error?.code]).toEqual([code, error]);
  });

  test('a raw range of a number cursor is refused by the workflow itself', async () => {
    const started = temporal(tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? '', ['workflow', 'start', '--type', 'backfillStream', '--task-queue', 'tidemark', '--workflow-id', 'raw', '--input', '{"source":"shop","stream":"entry","from":"1","to":"2"}']);
    expect(started).toBeDefined();
    const [address, namespace] = [tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? ''];
    await waitFor('it to fail', async () => (listWorkflows(address, namespace, "WorkflowId = 'raw' AND ExecutionStatus = 'Failed'").length > 0 ? true : null));
  });
});
