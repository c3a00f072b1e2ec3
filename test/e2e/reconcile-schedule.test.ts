/** Comparisons by a schedule: planned and applied with the file, told in the history, in `status` and as events, held by a pause, gone with the setting. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';

interface Run {
  readonly runId: string;
  readonly kind: string;
  readonly trigger: string;
  readonly status: string;
  readonly missing: number | null;
  readonly extra: number | null;
  readonly different: number | null;
}

describeWith({ postgres: true, temporal: true }, 'scheduled reconcile', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const file = (reconcile: string) => `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { time_zone: Africa/Dar_es_Salaam }\nsources:\n  - id: bank\n    kind: postgres\n    connection: ${source.connection}\n    ${reconcile}\n    streams: [{ table: account, cursor: at }, { table: log, reconcile: null }]\n`;
  const changes = async () => ((await tidemark.must('plan', '--json')).changes ?? []) as unknown as readonly { action: string; object: string; detail: string }[];
  // All of them: comparisons that come every two seconds fill a short list while a slow machine starts a command.
  const runs = async () => (await tidemark.must('runs', 'bank', '--limit', '100000', '--json')).runs as unknown as readonly Run[];
  const comparisons = async () => (await runs()).filter(({ kind }) => kind === 'reconcile');
  const schedules = () => {
    const { TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE } = tidemark.env;
    return ((JSON.parse(temporal(TEMPORAL_ADDRESS!, TEMPORAL_NAMESPACE!, ['schedule', 'list', '--output', 'json']) || '[]') ?? []) as { scheduleId: string }[]).map(({ scheduleId }) => scheduleId);
  };
  const warnings = async () => {
    const { streams } = await tidemark.must('status', 'bank', '--json');
    return (streams as unknown as readonly { stream: string; warnings: readonly string[]; lastReconcile: unknown }[])[0]!;
  };
  const ended = (after: number) => waitFor('the next comparison', async () => ((await comparisons()).filter(({ status, trigger }) => status === 'completed' && trigger === 'schedule').length > after ? true : null));

  beforeAll(async () => {
    [source, target] = [await createDatabase('bank'), await createDatabase('target')];
    await source.query(`CREATE TABLE account (id int PRIMARY KEY, note text, at timestamptz NOT NULL DEFAULT now()); INSERT INTO account SELECT n, 'n' || n FROM generate_series(1, 100) n;
      CREATE TABLE log (id int PRIMARY KEY, what text); INSERT INTO log SELECT n, 'w' FROM generate_series(1, 10) n`);
    tidemark = await Tidemark.start(file('reconcile: { schedule: "0 3 * * *" }'), { ...source.secrets, DESTINATION_URL: target.url });
  });

  test('plan shows it, apply makes it, a change changes it', async () => {
    expect(await changes()).toContainEqual(expect.objectContaining({ action: 'create_schedule', object: 'bank', destructive: false, detail: 'reconcile cron 0 3 * * * Africa/Dar_es_Salaam' }));
    await tidemark.apply();
    await waitFor('the schedule', () => (schedules().includes('tidemark/bank/reconcile') ? true : null));
    expect(await changes()).toEqual([]);
    await tidemark.must('sync', 'bank', '--json');
    tidemark.configure(file('reconcile: { every: 2s }'));
    expect(await changes()).toContainEqual(expect.objectContaining({ action: 'change_schedule', detail: 'reconcile every 2s' }));
  });

  test('what it finds stands in the history, in status and as one event for each run', async () => {
    await target.query("DELETE FROM bank.account WHERE id IN (3, 4); UPDATE bank.account SET note = 'x' WHERE id = 5; DELETE FROM bank.log");
    await tidemark.apply();
    await ended(0);
    await tidemark.must('pause', 'bank', '--json');
    // One that began just before the pause may write its run only now, so the two are looked at until they tell of the same runs.
    const [found, events] = await waitFor('running comparisons to end', async () => {
      const all = await comparisons();
      const told = await target.query("SELECT stream, data->>'runId' AS run, data->>'remaining' AS remaining FROM tidemark.event WHERE type = 'DifferencesFound' ORDER BY id DESC");
      return all.every(({ status }) => status === 'completed') && told[0]?.['run'] === all[0]?.runId ? [all, told] : null;
    });
    expect(found[0]).toMatchObject({ kind: 'reconcile', trigger: 'schedule', status: 'completed', missing: 2, extra: 0, different: 1 });
    expect((await runs()).at(-1)).toMatchObject({ kind: 'sync', missing: null });
    expect(await warnings()).toMatchObject({ stream: 'account', lastReconcile: { missing: 2, extra: 0, different: 1, remaining: 3 }, warnings: [expect.stringContaining('differs from its source: 3 rows')] });
    expect(events).toEqual(found.map(({ runId }) => ({ stream: 'account', run: runId, remaining: '3' })));
    expect(await target.value("SELECT count(*) FROM tidemark.event WHERE type = 'DifferencesFound' AND data::text ~ '\"(key|note)\"'")).toBe('0');
  });

  test('a repair clears the warning; a resumed source is compared again', async () => {
    await tidemark.must('resume', 'bank', '--json');
    await tidemark.must('reconcile', 'bank', 'account', '--repair', '--json');
    const before = (await comparisons()).filter(({ trigger }) => trigger === 'schedule').length;
    await ended(before);
    expect(await warnings()).toMatchObject({ warnings: [], lastReconcile: { missing: 0, different: 0, remaining: 0 } });
    // The stream that is left out has lost all its rows all the while.
    expect(await target.value("SELECT count(*) FROM tidemark.reconciliation WHERE stream = 'log'")).toBe('0');
  });

  test('a comparison leaves alone what another run, still under way, has found and may be repairing', async () => {
    await target.query(`INSERT INTO tidemark.run (run_id, source, trigger, scope, workflow_id, workflow_run_id, status) VALUES ('repairing', 'bank', 'manual', '{"streams":["account"],"full":false,"kind":"reconcile"}', 'w', 'r', 'comparing');
      INSERT INTO tidemark.difference (source, stream, run_id, kind, key) VALUES ('bank', 'account', 'repairing', 'missing', '{"id": "3"}')`);
    const left = () => target.value("SELECT count(*) FROM tidemark.difference WHERE run_id = 'repairing'");
    await tidemark.must('reconcile', 'bank', 'account', '--json');
    expect(await left()).toBe('1');
    await target.query("UPDATE tidemark.run SET ended_at = clock_timestamp(), status = 'completed' WHERE run_id = 'repairing'");
    await tidemark.must('reconcile', 'bank', 'account', '--json');
    expect(await left()).toBe('0');
  });

  test('outside the read window a scheduled comparison is skipped, and a person who asks is told', async () => {
    // Two hours from now on a clock of the time zone, for an hour: closed now.
    const clock = (hours: number) => new Intl.DateTimeFormat('en-GB', { timeZone: 'Africa/Dar_es_Salaam', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(Date.now() + hours * 3_600_000);
    tidemark.configure(file(`reconcile: { every: 2s }\n    read_window: "${clock(2)}-${clock(3)}"`));
    await tidemark.apply();
    await waitFor('a skipped comparison', async () => ((await comparisons()).some(({ status, trigger }) => status === 'skipped' && trigger === 'schedule') ? true : null));
    const { code, json } = await tidemark.run('reconcile', 'bank', 'account', '--json');
    expect({ code, json }).toMatchObject({ code: 1, json: { ok: false, error: { code: 'source.outside_read_window' } } });
  });

  test('it goes with its setting, and with its source', async () => {
    tidemark.configure(file(''));
    expect(await changes()).toContainEqual(expect.objectContaining({ action: 'remove_schedule', detail: 'reconcile was every 2s' }));
    await tidemark.apply();
    await waitFor('the schedule to go', () => (schedules().includes('tidemark/bank/reconcile') ? null : true));
    expect(await changes()).toEqual([]);
  });

  test.each(['reconcile: { schedule: "0 3 * * *", every: 1d }', 'reconcile: {}', 'reconcile: { schedule: "at night" }', 'reconcile: { every: 0s }'])('%s is refused by its path', async (wrong) => {
    tidemark.configure(file(wrong));
    const { code, stdout } = await tidemark.run('validate', '--json');
    expect({ code, named: stdout.includes('reconcile') }).toEqual({ code: 2, named: true });
  });
});
