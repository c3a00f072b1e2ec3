/**
 * Records the histories anew: TIDEMARK_RECORD_HISTORIES=1 npm test -- replay. They are recorded from released code, never from the branch
 * under test: what a worker of today can't replay, it can't take over from one of yesterday.
 */
import { Client, Connection } from '@temporalio/client';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { exportHistory, listWorkflows, temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';
import { forgetHistories, writeHistory } from './history-files.ts';
import { ROW_MARK } from './row-mark.ts';

const ROWS = 120;
const BATCH_ROWS = 30;

const SOURCES: Readonly<Record<string, { readonly every: string; readonly streams: string }>> = {
  load: { every: '1h', streams: `[{ table: item, key: [id], cursor: at, batch_rows: ${BATCH_ROWS} }]` },
  dirty: { every: '1h', streams: '[{ table: copies, key: [id], cursor: at, bad_rows_max: 1.0 }]' },
  parks: { every: '1h', streams: '[{ table: good, key: [id], cursor: at }, { table: gone, key: [id], cursor: at }]' },
  window: { every: '2s', streams: '[{ table: polled, key: [id], cursor: at }]' },
  slow: { every: '1h', streams: '[{ table: sleepy, key: [id], cursor: at }]' },
};

const TABLES = `
CREATE TABLE item (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(), note text);
INSERT INTO item (id, note) SELECT n, '${ROW_MARK} ' || n FROM generate_series(1, ${ROWS}) n;
CREATE TABLE good AS SELECT id, at, note FROM item WHERE id <= 10; ALTER TABLE good ADD PRIMARY KEY (id), ALTER at SET NOT NULL;
CREATE TABLE gone AS SELECT * FROM good; ALTER TABLE gone ADD PRIMARY KEY (id), ALTER at SET NOT NULL;
CREATE TABLE polled AS SELECT * FROM good; ALTER TABLE polled ADD PRIMARY KEY (id), ALTER at SET NOT NULL;
CREATE TABLE copies AS SELECT * FROM good; INSERT INTO copies SELECT * FROM good WHERE id <= 3; INSERT INTO copies VALUES (NULL, clock_timestamp(), '${ROW_MARK} without a key');
CREATE TABLE naps AS SELECT * FROM good;
CREATE VIEW sleepy AS SELECT id, at, note || pg_sleep(2)::text AS note FROM naps;`;

function configuration(source: PostgresDatabase): string {
  const blocks = Object.entries(SOURCES).map(([id, { every, streams }]) => `  - { id: ${id}, kind: postgres, poll_interval: ${every}, connection: ${source.connection}, streams: ${streams} }`);
  return `destination:\n  url: \${DESTINATION_URL}\ndefaults: { overlap: 0s }\nsources:\n${blocks.join('\n')}\n`;
}

describeWith({ postgres: true, temporal: true, env: 'TIDEMARK_RECORD_HISTORIES' }, 'recording', () => {
  let source: PostgresDatabase;
  let tidemark: Tidemark;
  let client: Client;
  let address: string;
  let namespace: string;
  const taken = new Set<string>();

  beforeAll(async () => {
    source = await createDatabase('recorded');
    await source.query(TABLES);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: (await createDatabase('target')).url });
    await tidemark.apply();
    address = tidemark.env['TEMPORAL_ADDRESS']!;
    namespace = tidemark.env['TEMPORAL_NAMESPACE']!;
    const connection = await Connection.connect({ address });
    onFileEnd(() => connection.close());
    client = new Client({ connection, namespace });
    temporal(address, namespace, ['schedule', 'delete', '--schedule-id', 'tidemark/window']);
    forgetHistories();
  });

  /** Writes every execution of the source that has ended and was not written before. */
  async function record(scenario: string, id: string): Promise<number> {
    await waitFor('all executions to have ended', () => (listWorkflows(address, namespace, `TidemarkSource = "${id}" AND ExecutionStatus = "Running"`).length === 0 ? true : null));
    const numbers = new Map<string, number>();
    for (const { execution, type } of listWorkflows(address, namespace, `TidemarkSource = "${id}"`).reverse()) {
      if (taken.has(execution.runId)) continue;
      taken.add(execution.runId);
      const number = (numbers.get(type.name) ?? 0) + 1;
      numbers.set(type.name, number);
      const { events } = exportHistory(address, namespace, execution);
      writeHistory(`${scenario}.${type.name}-${number}`, execution.workflowId, events);
    }
    return [...numbers.values()].reduce((sum, each) => sum + each, 0);
  }

  test('a first load with parts', async () => {
    await tidemark.must('sync', 'load', '--json');
    expect(await record('first-load', 'load')).toBe(2);
  });

  test('an increment of several batches', async () => {
    await source.query(`UPDATE item SET note = '${ROW_MARK} changed', at = clock_timestamp() WHERE id <= 70`);
    await tidemark.must('sync', 'load', '--json');
    expect(await record('increment', 'load')).toBe(2);
  });

  test('a full refresh', async () => {
    await tidemark.must('sync', 'load', '--full', '--json');
    expect(await record('full', 'load')).toBe(2);
  });

  test('rows in quarantine', async () => {
    const { streams } = await tidemark.must('sync', 'dirty', '--json');
    expect(streams?.[0]).toMatchObject({ rejected: 1, superseded: 3 });
    await source.query(`UPDATE copies SET note = '${ROW_MARK} changed', at = clock_timestamp()`);
    await tidemark.must('sync', 'dirty', '--json');
    expect(await record('quarantine', 'dirty')).toBe(4);
  });

  test('a stream that parks beside one that does not', async () => {
    await source.query('DROP TABLE gone');
    expect((await tidemark.run('sync', 'parks', '--json')).code).toBe(1);
    expect(await record('parked', 'parks')).toBe(3);
  });

  test('a window of polls that finds nothing and something, and gives way to a run between', async () => {
    const input = JSON.stringify({ source: 'window', trigger: 'window', everySeconds: 2, windowSeconds: 30 });
    temporal(address, namespace, ['workflow', 'start', '--type', 'syncSource', '--task-queue', 'tidemark', '--workflow-id', 'sync/window', '--input', input]);
    const progress = async () => (await client.workflow.getHandle('sync/window').query<{ polls: number }>('progress')).polls;
    await waitFor('two polls', async () => ((await progress()) >= 2 ? true : null));
    await source.query(`UPDATE polled SET note = '${ROW_MARK} polled', at = clock_timestamp() WHERE id <= 2`);
    await tidemark.must('sync', 'window', '--json');
    const now = await progress();
    await source.query(`UPDATE polled SET note = '${ROW_MARK} again', at = clock_timestamp() WHERE id <= 2`);
    await waitFor('two more polls', async () => ((await progress()) >= now + 2 ? true : null));
    expect(await record('window', 'window')).toBeGreaterThanOrEqual(4);
  });

  test('a run that is cancelled in the middle of a batch', async () => {
    const running = tidemark.begin('sync', 'slow', '--json');
    await waitFor('the copy', async () => ((await source.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")) !== '0' ? true : null));
    const [run] = listWorkflows(address, namespace, 'TidemarkSource = "slow" AND WorkflowType = "syncSource"');
    temporal(address, namespace, ['workflow', 'cancel', '--workflow-id', run!.execution.workflowId]);
    expect((await running.result).code).not.toBe(0);
    expect(await record('cancelled', 'slow')).toBe(2);
  });
});
