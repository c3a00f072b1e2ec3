/** Pause, resume, cancel, and several workers. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { exportHistory, listWorkflows, temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';

const WIDE = Array.from({ length: 8 }, (_, index) => `wide${index}`);
const ROWS = 6000;

const source = (id: string, connection: string, streams: string) => `  - id: ${id}\n    kind: postgres\n    connection: ${connection}\n    streams: [${streams}]\n`;

describeWith({ postgres: true, temporal: true }, 'control of a run', () => {
  let database: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const address = () => tidemark.env['TEMPORAL_ADDRESS'] ?? '';
  const namespace = () => tidemark.env['TEMPORAL_NAMESPACE'] ?? '';
  const batches = async (stream: string) => Number(await target.value(`SELECT count(*) FROM tidemark.ledger WHERE stream::text ~ '\\m${stream}\\M'`));

  beforeAll(async () => {
    [database, target] = [await createDatabase('control'), await createDatabase('target')];
    for (const name of ['paused', ...WIDE]) {
      await database.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v text, at timestamptz NOT NULL); INSERT INTO ${name} VALUES (0, 'first', '2024-01-01Z'); CREATE INDEX ON ${name} (at)`);
    }
    await database.query("CREATE TABLE base (id int PRIMARY KEY); INSERT INTO base SELECT generate_series(1, 2000); CREATE VIEW slow AS SELECT id, pg_sleep(0.25)::text AS nothing FROM base");
    const streams = WIDE.map((name) => `{ table: ${name}, cursor: at, batch_rows: 500 }`).join(', ');
    const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n${source('paused', database.connection, '{ table: paused, cursor: at, batch_rows: 100 }')}${source('wide', database.connection, streams)}${source('slow', database.connection, '{ table: slow, key: [id] }')}`;
    tidemark = await Tidemark.start(file, { ...database.secrets, DESTINATION_URL: target.url }, 2);
    await tidemark.apply();
    await tidemark.must('sync', 'paused', 'wide', '--json');
  });

  test('pause takes effect between batches, resume goes on to the end', async () => {
    await database.query(`INSERT INTO paused SELECT n, 'v', '2024-01-02Z'::timestamptz + n * interval '1 ms' FROM generate_series(1, ${ROWS}) n`);
    const before = await batches('paused');
    // A batch in the middle waits for this row, so that the run can't end before it is paused.
    const middle = await target.client();
    await middle.query(`BEGIN; INSERT INTO paused.paused (id, at) VALUES (${ROWS / 2}, now())`);
    const running = tidemark.begin('sync', 'paused', '--json');
    await waitFor('a batch', async () => ((await batches('paused')) > before ? true : null));
    await tidemark.must('pause', 'paused', '--json');
    await middle.query('ROLLBACK');
    await waitFor('status paused', async () => ((await tidemark.run('status', 'paused', '--json')).json?.streams?.[0]?.status === 'paused' ? true : null));
    const held = await waitFor('the ledger to stand still', async () => {
      const now = await batches('paused');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      return (await batches('paused')) === now ? now : null;
    });
    expect(Number(await target.value('SELECT count(*) FROM paused.paused'))).toBeLessThan(ROWS + 1);
    await tidemark.must('resume', 'paused', '--json');
    const { code, stdout } = await running.result;
    if (code !== 0) await tidemark.must('sync', 'paused', '--json');
    expect(stdout).not.toBe('');
    expect(await batches('paused')).toBeGreaterThan(held);
    expect((await compareTables(database, 'paused', target, 'paused.paused', ['id'])).differences).toEqual([]);
  });

  test('cancel stops the source’s query', async () => {
    const active = () => database.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidemark%' AND state = 'active' AND query LIKE '%slow%'");
    const running = tidemark.begin('sync', 'slow', '--json');
    await waitFor('the slow query', async () => ((await active()) === '0' ? null : true));
    const run = await waitFor('the run in the list', () => listWorkflows(address(), namespace(), 'TidemarkSource = "slow" AND ExecutionStatus = "Running"').find(({ parentExecution }) => (parentExecution ?? null) === null) ?? null);
    temporal(address(), namespace(), ['workflow', 'cancel', '--workflow-id', run.execution.workflowId]);
    await waitFor('the query to be gone', async () => ((await active()) === '0' ? true : null));
    const { code, json } = await running.result;
    expect(code).not.toBe(0);
    expect(json?.streams?.[0]?.status ?? json?.error?.code).not.toBe('completed');
  });

  test('two workers share the work of one run', async () => {
    for (const name of WIDE) await database.query(`INSERT INTO ${name} SELECT n, 'v', '2024-01-02Z'::timestamptz + n * interval '1 ms' FROM generate_series(1, ${ROWS}) n`);
    const { streams } = await tidemark.must('sync', 'wide', '--json');
    expect(streams?.map(({ status, written }) => ({ status, written }))).toEqual(WIDE.map(() => ({ status: 'completed', written: ROWS })));
    const identities = new Set<unknown>();
    for (const { execution } of listWorkflows(address(), namespace())) {
      for (const event of exportHistory(address(), namespace(), execution).events) {
        const started = event['activityTaskStartedEventAttributes'] as { identity?: string } | undefined;
        if (started !== undefined) identities.add(started.identity);
      }
    }
    expect(identities.size).toBeGreaterThanOrEqual(2);
  });

  test('nothing is left behind at the source and in the destination', async () => {
    for (const end of [database, target]) {
      const idle = await waitFor('open transactions to end', async () => ((await end.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'tidemark%' AND state LIKE 'idle in transaction%'")) === '0' ? true : null));
      expect(idle).toBe(true);
    }
  });
});
