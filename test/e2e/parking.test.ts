/** One stream's trouble is its own: it parks, visibly, with the command that continues it, and comes back from where it was. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { listWorkflows } from '../support/temporal.ts';
import { streamOf, Tidemark } from '../support/tidemark.ts';

describeWith({ postgres: true, temporal: true }, 'a stream that can’t go on', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const events = () => target.query("SELECT type, stream, data->>'code' AS code, data->>'command' AS command FROM tidemark.event WHERE type IN ('StreamParked', 'StreamResumed') ORDER BY id");
  const reader = async (sql: string) => source.query(sql.replaceAll('READER', `"${source.name}_reader"`));

  beforeAll(async () => {
    [source, target] = [await createDatabase('parking'), await createDatabase('target')];
    for (const name of ['a', 'b', 'c']) await source.query(`CREATE TABLE ${name} (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${name} VALUES (1)`);
    await reader("CREATE ROLE READER LOGIN PASSWORD 'right'; GRANT SELECT ON a, b, c TO READER; GRANT pg_read_all_stats TO READER");
    const connection = source.connection.replace(`user: ${source.server.user}`, `user: ${source.name}_reader`).replace('POSTGRES_PASSWORD', 'READER_PASSWORD');
    const streams = ['a', 'b', 'c'].map((table) => `{ table: ${table}, cursor: at }`).join(', ');
    const file = `destination: { url: "\${DESTINATION_URL}" }\nsources:\n  - id: hq\n    kind: postgres\n    connection: ${connection}\n    streams: [${streams}]\n`;
    tidemark = await Tidemark.start(file, { READER_PASSWORD: 'right', DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.must('sync', 'hq', '--json');
  });

  test('parks at once, its neighbours finish, and status, search attribute and event say so', async () => {
    await reader('REVOKE SELECT ON b FROM READER');
    for (const name of ['a', 'b', 'c']) await source.query(`INSERT INTO ${name} VALUES (2)`);
    const { code, json } = await tidemark.run('sync', 'hq', '--json');
    expect(code).toBe(1);
    expect(json?.streams?.map((each) => each.status)).toEqual(['completed', 'parked', 'completed']);
    expect(streamOf(json?.streams, 'b').error?.code).toBe('source.privilege_missing');
    for (const name of ['a', 'c']) expect((await compareTables(source, name, target, `hq.${name}`, ['id'])).differences).toEqual([]);
    const shown = streamOf((await tidemark.must('status', 'hq', '--json')).streams, 'b');
    expect(shown).toMatchObject({ status: 'parked', next: 'tidemark retry hq --stream b', error: { code: 'source.privilege_missing', hint: expect.stringContaining('tidemark retry hq --stream b') } });
    const { TEMPORAL_ADDRESS: address = '', TEMPORAL_NAMESPACE: namespace = '' } = tidemark.env;
    const query = 'TidemarkStatus = "parked" AND TidemarkStream = "b"';
    expect(await waitFor('the search attribute', () => listWorkflows(address, namespace, query).at(0)?.type.name ?? null)).toBe('syncStream');
    expect(await events()).toEqual([{ type: 'StreamParked', stream: 'b', code: 'source.privilege_missing', command: 'tidemark retry hq --stream b' }]);
  });

  test('a sync that finds it no better tells nothing new; once it is mended retry goes on from the watermark', async () => {
    expect((await tidemark.run('sync', 'hq', '--json')).code).toBe(1);
    expect(await events()).toHaveLength(1);
    await reader('GRANT SELECT ON b TO READER');
    const { streams } = await tidemark.must('retry', 'hq', '--json');
    expect(streams?.map((each) => [each.stream, each.status, each.written])).toEqual([['b', 'completed', 1]]);
    expect(await events()).toEqual([expect.objectContaining({ type: 'StreamParked' }), expect.objectContaining({ type: 'StreamResumed', stream: 'b' })]);
    expect((await compareTables(source, 'b', target, 'hq.b', ['id'])).differences).toEqual([]);
  });

  test('one that is mended and has nothing new is told to be well, too', async () => {
    await reader('REVOKE SELECT ON c FROM READER');
    await source.query('INSERT INTO c VALUES (3)');
    expect((await tidemark.run('sync', 'hq', '--json')).code).toBe(1);
    await source.query('DELETE FROM c WHERE id = 3');
    await reader('GRANT SELECT ON c TO READER');
    await tidemark.must('sync', 'hq', '--json');
    expect(streamOf((await tidemark.must('status', 'hq', '--json')).streams, 'c').status).toBe('completed');
    expect((await events()).at(-1)).toMatchObject({ type: 'StreamResumed', stream: 'c' });
  });

  test('a wrong password parks all streams of its source, so that no schedule locks the account', async () => {
    await reader("ALTER ROLE READER PASSWORD 'other'");
    const { code, json } = await tidemark.run('sync', 'hq', '--json');
    expect([code, json?.streams?.map((each) => each.error?.code)]).toEqual([1, ['source.auth_failed', 'source.auth_failed', 'source.auth_failed']]);
    expect(await target.value("SELECT count(*) FROM tidemark.stream WHERE parked->>'code' = 'source.auth_failed'")).toBe('3');
    await reader("ALTER ROLE READER PASSWORD 'right'");
    const { streams } = await tidemark.must('retry', 'hq', '--json');
    expect(streams?.map((each) => each.status)).toEqual(['completed', 'completed', 'completed']);
    expect(await target.value("SELECT count(*) FROM tidemark.stream WHERE parked IS NOT NULL OR resumes")).toBe('0');
  });
});
