/** Temporal alone is enough to start a sync; schedules follow the file; one run of a source at a time; polls without gaps. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { exportHistory, listWorkflows, temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';

const SCHEDULES = { demo: '{ poll_interval: 365d }', nightly: '{ schedule: "0 2 * * *", time_zone: Africa/Dar_es_Salaam }', busy: '{ poll_interval: 2s }' } as const;

describeWith({ postgres: true, temporal: true }, 'through Temporal', () => {
  let database: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const client = (...args: string[]) => temporal(tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? '', args);
  const list = (query?: string) => listWorkflows(tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? '', query);

  const configuration = (ids: readonly (keyof typeof SCHEDULES)[]) => {
    const blocks = ids.map((id) => `  - id: ${id}\n    ${SCHEDULES[id].slice(2, -2).replaceAll(', ', '\n    ')}\n    kind: postgres\n    connection: ${database.connection}\n    streams: [{ table: ${id}, cursor: at }]\n`);
    return `destination: { url: "\${DESTINATION_URL}" }\nsources:\n${blocks.join('')}`;
  };
  const schedules = () => (JSON.parse(client('schedule', 'list', '--output', 'json') || '[]') as { scheduleId: string }[] | null) ?? [];
  const scheduled = (id: string) => schedules().some(({ scheduleId }) => scheduleId.includes(id));
  const add = (table: string, id: number) => database.query(`INSERT INTO ${table} VALUES (${id}, 'v', clock_timestamp())`);
  const has = (table: string, id: number) => target.value(`SELECT count(*) FROM ${table}.${table} WHERE id = ${id}`);

  beforeAll(async () => {
    [database, target] = [await createDatabase('demo'), await createDatabase('target')];
    for (const name of Object.keys(SCHEDULES)) await database.query(`CREATE TABLE ${name} (id int PRIMARY KEY, v text, at timestamptz NOT NULL); CREATE INDEX ON ${name} (at)`);
    tidemark = await Tidemark.start(configuration(['demo', 'nightly']), { ...database.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await add('demo', 1);
    await tidemark.must('sync', 'demo', '--json');
  });

  test('apply makes a schedule for each source, in its time zone, and removes it', async () => {
    await waitFor('schedules', () => (scheduled('demo') && scheduled('nightly') ? true : null));
    const nightly = schedules().find(({ scheduleId }) => scheduleId.includes('nightly'))?.scheduleId ?? '';
    const described = client('schedule', 'describe', '--schedule-id', nightly, '--output', 'json');
    expect(described).toContain('Africa/Dar_es_Salaam');
    expect(described).toMatch(/BufferOne|BUFFER_ONE/i);
    // Long intervals are not all due at one instant: a whole number of seconds, up to an hour, after each multiple.
    const yearly = JSON.parse(client('schedule', 'describe', '--schedule-id', nightly.replace('nightly', 'demo'), '--output', 'json')) as { schedule: { spec: { interval: { interval: string; phase: string }[] } } };
    expect(yearly.schedule.spec.interval).toEqual([{ interval: '31536000s', phase: expect.stringMatching(/^[1-9]\d{0,3}s$/) as string }]);
    tidemark.configure(configuration(['demo']));
    await tidemark.apply();
    await waitFor('the schedule to go', () => (scheduled('nightly') ? null : true));
    expect(scheduled('demo')).toBe(true);
  });

  test('one JSON object starts a sync, and search attributes find its runs', async () => {
    await add('demo', 2);
    const run = list().find(({ type }) => type.name === 'syncSource');
    if (run === undefined) throw new Error('no syncSource among the executions');
    const [started] = exportHistory(tidemark.env['TEMPORAL_ADDRESS'] ?? '', tidemark.env['TEMPORAL_NAMESPACE'] ?? '', run.execution).events;
    const attributes = started?.['workflowExecutionStartedEventAttributes'] as { taskQueue: { name: string } };
    client('workflow', 'execute', '--type', 'syncSource', '--task-queue', attributes.taskQueue.name, '--workflow-id', 'by-hand', '--input', '{"source":"demo"}');
    expect(await has('demo', 2)).toBe('1');
    await waitFor('visibility', () => (list('TidemarkSource = "demo"').some(({ execution }) => execution.workflowId === 'by-hand') ? true : null));
  });

  test('several syncs at once: none fails, none overlaps another', async () => {
    await add('demo', 3);
    const results = await Promise.all([1, 2, 3, 4].map(() => tidemark.run('sync', 'demo', '--json')));
    expect(results.map(({ code }) => code)).toEqual([0, 0, 0, 0]);
    expect(await has('demo', 3)).toBe('1');
    const { runs } = await tidemark.must('runs', 'demo', '--limit', '100', '--json');
    const spans = (runs ?? []).map(({ startedAt, endedAt }) => [startedAt, endedAt ?? '9999'] as const).sort(([a], [b]) => (a < b ? -1 : 1));
    expect(spans.length).toBeGreaterThan(1);
    for (const [index, [start]] of spans.entries()) if (index > 0) expect(start >= (spans[index - 1]?.[1] ?? '')).toBe(true);
  });

  test('polls bring rows by themselves, and a sync in the middle of a poll window covers what was committed before it', async () => {
    tidemark.configure(configuration(['demo', 'busy']));
    await tidemark.apply();
    await add('busy', 1);
    await waitFor('a poll', async () => ((await target.value("SELECT to_regclass('busy.busy')")) !== null && (await has('busy', 1)) === '1' ? true : null), 90_000);
    for (const id of [2, 3, 4]) {
      await add('busy', id);
      await tidemark.must('sync', 'busy', '--json');
      expect(await has('busy', id)).toBe('1');
    }
    await add('busy', 5);
    await waitFor('the polls to go on', async () => ((await has('busy', 5)) === '1' ? true : null), 90_000);
    // What is more than a poll brings comes in one batch of the stream's own workflow, none of it before the rest.
    await database.query("INSERT INTO busy SELECT g, 'v', clock_timestamp() FROM generate_series(6, 20006) g");
    await waitFor('the many', async () => ((await has('busy', 20_006)) === '1' ? true : null), 90_000);
    expect(await target.query("SELECT read FROM tidemark.ledger WHERE source = 'busy' AND read > 1")).toEqual([{ read: '20001' }]);
  });
});
