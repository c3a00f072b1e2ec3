/** The commands around a sync, through the real command line: check, discover, status, runs, ledger, pause, resume, retry. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { freePort, waitFor } from '../support/processes.ts';
import { temporal } from '../support/temporal.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { ErrorInfo } from '../support/tidemark.ts';

interface StreamReport {
  readonly source: string;
  readonly stream: string;
  readonly status: string;
  readonly lagSeconds: number | null;
  readonly lastRun: { readonly runId: string; readonly read: number; readonly written: number } | null;
  readonly error: ErrorInfo | null;
  readonly next: string | null;
  readonly warnings: readonly string[];
  readonly [field: string]: unknown;
}

interface Check {
  readonly results: readonly { readonly id: string; readonly isConnected: boolean; readonly server: Record<string, string> | null; readonly error: ErrorInfo | null }[];
  readonly destination: { readonly isConnected: boolean; readonly error: ErrorInfo | null } | null;
  readonly warnings: readonly { readonly source: string | null; readonly message: string }[];
  readonly [field: string]: unknown;
}

interface Printed {
  readonly code: number | NodeJS.Signals;
  readonly stderr: string;
  readonly document: unknown;
}

const as = <T>(printed: Printed): T => printed.document as T;

describeWith({ postgres: true, temporal: true }, 'the commands around a sync', () => {
  let database: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const run = async (...args: string[]): Promise<Printed> => {
    const { code, stdout, stderr } = await tidemark.run(...args, '--json');
    return { code, stderr, document: JSON.parse(stdout) };
  };
  const status = async (source?: string): Promise<readonly StreamReport[]> => as<{ streams: StreamReport[] }>(await run('status', ...(source === undefined ? [] : [source]))).streams;
  const streamStatus = async (stream: string): Promise<StreamReport> => (await status()).find((each) => each.stream === stream)!;
  const schedulePaused = (): boolean => {
    const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = tidemark.env;
    const described = JSON.parse(temporal(address, namespace, ['schedule', 'describe', '--schedule-id', 'tidemark/shop', '--output', 'json'])) as { schedule: { state?: { paused?: boolean } } };
    return described.schedule.state?.paused === true;
  };

  beforeAll(async () => {
    [database, target] = [await createDatabase('operations'), await createDatabase('target')];
    await database.query(`CREATE TABLE account (id bigint PRIMARY KEY, name varchar(20), updated_at timestamptz NOT NULL); CREATE INDEX ON account (updated_at);
      INSERT INTO account SELECT n, 'n' || n, '2024-01-01Z'::timestamptz + n * interval '1 s' FROM generate_series(1, 100) n;
      CREATE TABLE doomed (id int PRIMARY KEY, updated_at timestamptz NOT NULL); INSERT INTO doomed VALUES (1, '2024-01-01Z');
      CREATE TABLE lookup (code text PRIMARY KEY); INSERT INTO lookup VALUES ('a'), ('b'); CREATE TABLE off (id int PRIMARY KEY);
      CREATE VIEW names AS SELECT id, name FROM account; ANALYZE`);
    const file = `destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, name: The shop, kind: postgres, connection: ${database.connection}, streams: [account, doomed, lookup, { table: off, enabled: false }] }
  - { id: closed, kind: postgres, connection: { host: 127.0.0.1, port: ${await freePort()}, database: a, user: a, password: "\${POSTGRES_PASSWORD}" }, streams: [a] }
`;
    tidemark = await Tidemark.start(file, { ...database.secrets, DESTINATION_URL: target.url });
  });

  test('before anything is applied status is empty and says what to do', async () => {
    expect(await run('status')).toMatchObject({ code: 0, document: { ok: true, streams: [], hint: expect.stringContaining('tidemark apply') } });
    expect(await run('status', 'shop')).toMatchObject({ code: 2, document: { error: { code: 'usage.unknown_source' } } });
  });

  test('check: each source and the destination, exit 1 where a source fails', async () => {
    const printed = await run('check');
    expect(printed).toMatchObject({ code: 1, document: { ok: false, totalSources: 2, connectedSources: 1, failedSources: 1, destination: { isConnected: true, error: null } } });
    const [shop, closed] = as<Check>(printed).results;
    expect(shop).toMatchObject({ id: 'shop', name: 'The shop', kind: 'postgres', isConnected: true, server: { product: 'PostgreSQL', database: database.name, user: 'postgres', version: expect.stringMatching(/^\d+/), timezone: 'UTC' }, error: null });
    expect(shop).toMatchObject({ responseTimeMs: expect.any(Number), lastChecked: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(closed).toMatchObject({ id: 'closed', isConnected: false, server: null, error: { code: 'source.unreachable', hint: expect.any(String) } });
    expect((await run('check', 'shop')).code).toBe(0);
    expect(await run('check', 'nobody')).toMatchObject({ code: 2, document: { error: { code: 'usage.unknown_source' } } });
  });

  test('check: a destination that does not answer wins, one that nobody configured is only said', async () => {
    const { DESTINATION_URL } = tidemark.env;
    const wrong = new URL(target.url);
    wrong.port = String(await freePort());
    try {
      tidemark.env['DESTINATION_URL'] = wrong.href;
      expect(await run('check')).toMatchObject({ code: 3, document: { failedSources: 1, destination: { isConnected: false, error: { code: 'target.unreachable' } } } });
      tidemark.env['DESTINATION_URL'] = undefined;
      const printed = await run('check', 'shop');
      expect(printed).toMatchObject({ code: 0, document: { destination: null } });
      expect(as<Check>(printed).warnings).toEqual([{ source: null, message: expect.stringContaining('DESTINATION_URL') }]);
    } finally {
      tidemark.env['DESTINATION_URL'] = DESTINATION_URL;
    }
  });

  test('check names missing privileges', async () => {
    await database.query("CREATE ROLE operations_reader LOGIN PASSWORD 'reader-pw-1'");
    const file = `sources:\n  - { id: poor, kind: postgres, connection: { host: 127.0.0.1, port: ${database.server.port}, database: ${database.name}, user: operations_reader, password: "\${READER}" }, streams: [account] }\n`;
    const poor = new Tidemark(file, { READER: 'reader-pw-1', DESTINATION_URL: target.url });
    const { code, stdout } = await poor.run('check', '--json');
    expect(code).toBe(0);
    expect((JSON.parse(stdout) as Check).warnings).toContainEqual({ source: 'poor', message: expect.stringContaining('pg_read_all_stats') });
    await database.query('DROP ROLE operations_reader');
  });

  test('discover: tables and views with columns, keys, estimates and the cursor that would be followed', async () => {
    const { document, code } = await run('discover', 'shop');
    expect({ code, document }).toMatchObject({ code: 0, document: { source: 'shop', databases: [database.name], schemas: ['public'] } });
    const { tables } = document as { tables: { name: string }[] };
    expect(tables.map(({ name }) => name).sort()).toEqual(['account', 'doomed', 'lookup', 'names', 'off']);
    expect(tables.find(({ name }) => name === 'account')).toMatchObject({
      schema: 'public', kind: 'table', rowEstimate: 100, key: ['id'], proposedCursor: 'updated_at',
      columns: [{ name: 'id', nativeType: 'bigint', targetType: 'bigint', nullable: false, key: true }, { name: 'name', targetType: 'character varying(20)', nullable: true, key: false }, { name: 'updated_at', nullable: false, key: false }],
    });
    expect(tables.find(({ name }) => name === 'names')).toMatchObject({ kind: 'view', key: [], proposedCursor: null });
    expect((await tidemark.run('discover', 'shop', '--table', 'lookup')).stdout).toMatch(/^public\.lookup\tcode\ttext\tcode\ttext\tnot null\tkey$/m);
  });

  test('applied and not yet synced is not called completed', async () => {
    await tidemark.apply();
    expect(await streamStatus('account')).toMatchObject({ status: 'skipped', lagSeconds: null, lastRun: null, watermark: null, error: { code: 'run.incomplete' }, next: 'tidemark sync shop --stream account' });
    expect(await streamStatus('off')).toMatchObject({ status: 'disabled', error: null });
  });

  test('after a sync: state, watermark, guarantee, rows and last run; a pipe was told of each end', async () => {
    const { code, stderr } = await tidemark.run('sync', 'shop');
    expect(code).toBe(0);
    expect(stderr).toMatch(/^shop account: completed, 100 rows read, 100 written, /m);
    const account = await streamStatus('account');
    expect(account).toMatchObject({ source: 'shop', target: 'shop.account', status: 'completed', watermark: '2024-01-01T00:01:40Z', guarantee: 'exact', rows: 100, rowsExact: true, error: null, next: null, lastRun: { read: 100, written: 100 } });
    expect(account.lagSeconds).toBeGreaterThanOrEqual(0);
    expect(await streamStatus('lookup')).toMatchObject({ status: 'completed', guarantee: 'full refresh', watermark: null, rows: 2 });
    expect((await run('sync', 'shop')).stderr).toBe('');
  });

  test('runs and ledger: newest first, with what was committed', async () => {
    const { runs } = as<{ runs: { runId: string; source: string; status: string; read: number; written: number; startedAt: string; endedAt: string }[] }>(await run('runs', 'shop'));
    expect(runs).toHaveLength(2);
    expect(runs[1]).toMatchObject({ source: 'shop', status: 'completed', read: 103, written: 103 });
    expect(runs[0]!.startedAt > runs[1]!.endedAt).toBe(true);
    expect(as<{ runs: unknown[] }>(await run('runs', '--limit', '1')).runs).toEqual([runs[0]]);
    const { batches } = as<{ batches: { batch: number; stream: string; read: number; written: number; hash: string; runId: string; committedAt: string }[] }>(await run('ledger', 'shop', 'account'));
    expect(batches.reduce((sum, each) => sum + each.written, 0)).toBe(100);
    expect(batches.map((each) => each.committedAt)).toEqual(batches.map((each) => each.committedAt).sort().reverse());
    expect(batches.at(-1)).toMatchObject({ stream: 'account', runId: runs[1]!.runId, hash: expect.stringMatching(/./), batch: expect.any(Number) });
    expect(await run('ledger', 'shop', 'nothing')).toMatchObject({ code: 2, document: { error: { code: 'usage.unknown_stream' } } });
    expect(await run('runs', '--limit', 'many')).toMatchObject({ code: 2, document: { error: { code: 'usage.invalid' } } });
  });

  test('a parked stream says why and how to go on; retry brings it back and leaves its neighbours alone', async () => {
    await database.query('ALTER TABLE doomed RENAME TO elsewhere');
    expect(await run('sync', 'shop')).toMatchObject({ code: 1 });
    const parked = await streamStatus('doomed');
    expect(parked).toMatchObject({ status: 'parked', error: { code: 'source.table_missing' }, next: 'tidemark retry shop --stream doomed' });
    expect(parked.error?.hint).toContain('tidemark retry shop --stream doomed');
    expect(await run('retry', 'shop')).toMatchObject({ code: 1, document: { ok: false, streams: [{ stream: 'doomed', status: 'parked' }] } });
    await database.query("ALTER TABLE elsewhere RENAME TO doomed; INSERT INTO doomed VALUES (2, '2024-01-02Z')");
    expect(await run('retry', 'shop')).toMatchObject({ code: 0, document: { ok: true, streams: [{ stream: 'doomed', status: 'completed', written: 1 }] } });
    expect(await streamStatus('doomed')).toMatchObject({ status: 'completed', rows: 2, error: null });
    expect(await run('retry', 'shop')).toMatchObject({ code: 0, document: { ok: true, streams: [] } });
    expect(await run('retry', 'shop', '--stream', 'nothing')).toMatchObject({ code: 2, document: { error: { code: 'usage.unknown_stream' } } });
  });

  test('pause and resume: a stream, a source with its schedule, again and again', async () => {
    expect(await run('pause', 'shop', '--stream', 'lookup')).toMatchObject({ code: 0, document: { ok: true, source: 'shop', stream: 'lookup', paused: true } });
    expect([(await streamStatus('lookup')).status, (await streamStatus('account')).status]).toEqual(['paused', 'completed']);
    for (let again = 0; again < 2; again += 1) expect(await run('pause', 'shop')).toMatchObject({ code: 0, document: { source: 'shop', stream: null, paused: true } });
    await waitFor('the schedule to pause', () => (schedulePaused() ? true : null));
    await database.query("INSERT INTO account VALUES (101, 'late', now())");
    expect(await run('sync', 'shop', '--stream', 'account')).toMatchObject({ code: 1, document: { streams: [{ status: 'paused', read: 0 }] } });
    expect(await streamStatus('account')).toMatchObject({ status: 'paused', rows: 100, next: 'tidemark resume shop' });
    expect(await run('resume', 'shop', '--stream', 'lookup')).toMatchObject({ code: 0, document: { stream: 'lookup', paused: true, warnings: [expect.stringContaining('as a whole')] } });
    for (let again = 0; again < 2; again += 1) expect(await run('resume', 'shop', '--force')).toMatchObject({ code: 0, document: { source: 'shop', stream: null, paused: false, warnings: [] } });
    await waitFor('the schedule to go on', () => (schedulePaused() ? null : true));
    await waitFor('the poll that a resume begins', async () => ((await streamStatus('account')).rows === 101 ? true : null));
    expect(await run('pause', 'nobody')).toMatchObject({ code: 2, document: { error: { code: 'usage.unknown_source' } } });
    expect(await run('resume', 'shop', '--stream', 'nothing')).toMatchObject({ code: 2, document: { error: { code: 'usage.unknown_stream' } } });
  });

  test('status warns of rows beyond the future limit, of rows in quarantine, and of a schedule that did not fire', async () => {
    await database.query("INSERT INTO account VALUES (102, 'ahead', now() + interval '10 days'), (103, 'ahead', 'infinity')");
    await tidemark.must('sync', 'shop', '--json');
    await target.query(`INSERT INTO tidemark.quarantine (batch, source, stream, reasons, "row") VALUES (1, 'shop', 'account', '[]', '{}')`);
    const before = await streamStatus('account');
    expect(before.warnings).toEqual([expect.stringContaining('2 rows lie beyond the future limit'), expect.stringContaining('1 rejected row waits in quarantine')]);
    await target.query(`UPDATE tidemark.run SET requested_at = requested_at - interval '1500 d', started_at = started_at - interval '1500 d', ended_at = ended_at - interval '1500 d';
      UPDATE tidemark.run_stream SET started_at = started_at - interval '1500 d', ended_at = ended_at - interval '1500 d';
      UPDATE tidemark.stream SET checked_at = checked_at - interval '1500 d'; UPDATE tidemark.source SET applied_at = applied_at - interval '1500 d'`);
    const late = await streamStatus('account');
    expect(late.warnings.at(-1)).toMatch(/no sign of life since .* every 31536000 s.*worker/);
  });

  test('a source that can’t be reached is skipped, not parked, and says what to look at', async () => {
    expect(await run('sync', 'closed')).toMatchObject({ code: 1 });
    expect((await status('closed'))[0]).toMatchObject({ status: 'skipped', error: { code: 'source.unreachable' }, next: 'tidemark check closed', lastRun: { read: 0 } });
  });
});
