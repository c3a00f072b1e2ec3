/** Planned destruction through the real command line: a build that shrinks its target, a reset, and who decides about them. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { ErrorInfo, StreamResult } from '../support/tidemark.ts';

interface Approval {
  readonly id: string;
  readonly stream: string;
  readonly action: string;
  readonly state: string;
  readonly facts: Readonly<Record<string, unknown>>;
}

interface Printed {
  readonly ok: boolean;
  readonly error: ErrorInfo;
  readonly approval: Approval;
  readonly approvals: readonly Approval[];
  readonly streams: readonly (StreamResult & { readonly next: string | null })[];
}

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams: [{ table: plain, mode: replace }, account]
`;

describeWith({ postgres: true, temporal: true }, 'planned destruction', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const run = async (...args: string[]): Promise<{ code: number | NodeJS.Signals; printed: Printed }> => {
    const { code, stdout } = await tidemark.run(...args, '--json');
    return { code, printed: JSON.parse(stdout) as Printed };
  };
  const rows = async (table: string): Promise<number> => Number(await target.value(`SELECT count(*) FROM shop.${table}`));
  const waiting = async (): Promise<readonly Approval[]> => (await run('status')).printed.approvals;
  const generations = async (stream: string): Promise<number> => Number(await target.value(`SELECT max(generation) FROM tidemark.generation WHERE stream = '${stream}'`));

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    await source.query(`CREATE TABLE plain (id int PRIMARY KEY, v text); INSERT INTO plain SELECT n, 'v' || n FROM generate_series(1, 100) n;
      CREATE TABLE account (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO account SELECT n, 'v' || n FROM generate_series(1, 100) n`);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test('a build that shrinks too far waits, its stream parks with the command, and polls build no more', async () => {
    await source.query('DELETE FROM plain WHERE id > 40');
    const { code, printed } = await run('sync', 'shop');
    expect(code).toBe(1);
    expect(streamOf(printed.streams, 'account').status).toBe('completed');
    expect(streamOf(printed.streams, 'plain')).toMatchObject({ status: 'parked', error: { code: 'target.shrinks' } });
    const [step] = await waiting();
    expect(step).toMatchObject({ stream: 'plain', action: 'swap', state: 'pending', facts: { before: 100, after: 40, vanish: 60 } });
    const status = streamOf((await run('status')).printed.streams, 'plain') as Printed['streams'][number];
    expect(status).toMatchObject({ status: 'parked', next: `tidemark approve ${step!.id}` });
    expect(status.error?.hint).toContain(`tidemark reject ${step!.id}`);
    const built = await generations('plain');
    const again = await run('sync', 'shop', '--stream', 'plain');
    expect(streamOf(again.printed.streams, 'plain')).toMatchObject({ status: 'parked', read: 0, error: { code: 'target.shrinks' } });
    expect(await generations('plain')).toBe(built);
    expect((await waiting()).map(({ id }) => id)).toEqual([step!.id]);
    expect(await rows('plain')).toBe(100);
    expect(await target.query(`SELECT data->>'id' AS id FROM tidemark.event WHERE type = 'ApprovalRequested'`)).toEqual([{ id: step!.id }]);
  });

  test('approved, exactly that build is swapped in and nothing is read again', async () => {
    const [step] = await waiting();
    const built = await generations('plain');
    await source.query("INSERT INTO plain VALUES (1000, 'came later')");
    const { code, printed } = await run('approve', step!.id);
    expect({ code, ok: printed.ok, state: printed.approval.state }).toEqual({ code: 0, ok: true, state: 'done' });
    expect(streamOf(printed.streams, 'plain')).toMatchObject({ status: 'completed', read: 0 });
    expect(await generations('plain')).toBe(built);
    expect(await rows('plain')).toBe(40);
    expect(await waiting()).toEqual([]);
    expect((await run('approve', step!.id)).code).toBe(0);
    expect((await run('reject', step!.id)).printed.error.code).toBe('usage.approval_closed');
    await tidemark.syncAll();
    expect(await rows('plain')).toBe(41);
  });

  test('rejected, the build is dropped, the target stays, and the stream says so until a person goes on', async () => {
    await source.query('TRUNCATE plain');
    await run('sync', 'shop', '--stream', 'plain');
    const [step] = await waiting();
    expect((await run('reject', step!.id)).printed.approval.state).toBe('rejected');
    expect((await run('reject', step!.id)).code).toBe(0);
    expect(await rows('plain')).toBe(41);
    expect(await target.query(`SELECT state FROM tidemark.generation WHERE stream = 'plain' ORDER BY generation DESC LIMIT 1`)).toEqual([{ state: 'dropped' }]);
    expect(await target.value(`SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'tidemark_stage' AND relname LIKE 'g%shop.plain'`)).toBe('0');
    expect(streamOf((await run('status')).printed.streams, 'plain')).toMatchObject({ status: 'parked', error: { code: 'run.approval_rejected' }, next: 'tidemark retry shop --stream plain' });
    await source.query("INSERT INTO plain SELECT n, 'v' || n FROM generate_series(1, 50) n");
    expect((await run('retry', 'shop')).code).toBe(0);
    expect(await rows('plain')).toBe(50);
  });

  test('a full refresh with a watermark that is rejected leaves the stream to its increments', async () => {
    await source.query('DELETE FROM account WHERE id > 50');
    expect((await run('sync', 'shop', '--stream', 'account', '--full')).code).toBe(1);
    const [step] = await waiting();
    expect((await run('reject', step!.id)).code).toBe(0);
    await source.query("UPDATE account SET v = 'changed', updated_at = clock_timestamp() WHERE id = 1");
    expect(streamOf(await tidemark.syncAll(), 'account')).toMatchObject({ status: 'completed', written: 1 });
    expect(await rows('account')).toBe(100);
  });

  test('an approved full refresh catches up with what came since', async () => {
    await run('sync', 'shop', '--stream', 'account', '--full');
    const [step] = await waiting();
    await source.query("INSERT INTO account VALUES (200, 'new')");
    const { code, printed } = await run('approve', step!.id);
    expect(code).toBe(0);
    expect(streamOf(printed.streams, 'account').status).toBe('completed');
    expect(await target.query("SELECT count(*) AS n, count(*) FILTER (WHERE v IN ('new', 'changed')) AS fresh FROM shop.account")).toEqual([{ n: '51', fresh: '2' }]);
  });

  test('a reset is planned, approved, and builds anew beside the target', async () => {
    const planned = await run('reset', 'shop', '--stream', 'account');
    expect(planned.code).toBe(0);
    const [step] = planned.printed.approvals;
    expect(step).toMatchObject({ action: 'reset', state: 'pending', stream: 'account' });
    expect((await run('reset', 'shop', '--stream', 'account')).printed.approvals.map(({ id }) => id)).toEqual([step!.id]);
    expect(streamOf(await tidemark.syncAll(), 'account').read).toBe(0);
    const built = await generations('account');
    await target.query("UPDATE shop.account SET v = 'tampered' WHERE id = 7");
    const { code, printed } = await run('approve', step!.id);
    expect({ code, state: printed.approval.state }).toEqual({ code: 0, state: 'done' });
    expect(streamOf(printed.streams, 'account')).toMatchObject({ status: 'completed', read: 51 });
    expect(await generations('account')).toBe(built + 1);
    expect(await target.query("SELECT v FROM shop.account WHERE id = 7")).toEqual([{ v: 'v7' }]);
  });

  test('a rejected reset changes nothing and may be planned again', async () => {
    const [step] = (await run('reset', 'shop', '--stream', 'account')).printed.approvals;
    expect((await run('reject', step!.id)).code).toBe(0);
    expect(streamOf(await tidemark.syncAll(), 'account').read).toBe(0);
    const all = (await run('reset', 'shop')).printed.approvals;
    expect(all.map(({ stream, state }) => `${stream} ${state}`)).toEqual(['plain pending', 'account pending']);
    for (const { id } of all) expect((await run('reject', id)).code).toBe(0);
  });

  test('a table that was made anew at the source comes back by a reset', async () => {
    await source.query("DROP TABLE account; CREATE TABLE account (id int PRIMARY KEY, v text, updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO account SELECT n, 'w' || n FROM generate_series(1, 60) n");
    expect(streamOf((await run('sync', 'shop')).printed.streams, 'account')).toMatchObject({ status: 'history_lost', error: { code: 'source.history_lost' } });
    expect(streamOf((await run('status')).printed.streams, 'account')).toMatchObject({ status: 'history_lost', next: 'tidemark reset shop --stream account' });
    const [step] = (await run('reset', 'shop', '--stream', 'account')).printed.approvals;
    expect(streamOf((await run('status')).printed.streams, 'account')).toMatchObject({ next: `tidemark approve ${step!.id}` });
    expect(streamOf((await run('approve', step!.id)).printed.streams, 'account').status).toBe('completed');
    expect(await target.query("SELECT count(*) AS n FROM shop.account WHERE v LIKE 'w%'")).toEqual([{ n: '60' }]);
  });

  test('a truncated source is guarded in a reset as well, and both decisions are done together', async () => {
    await source.query('DELETE FROM account WHERE id > 10');
    const [reset] = (await run('reset', 'shop', '--stream', 'account')).printed.approvals;
    const { code, printed } = await run('approve', reset!.id);
    expect({ code, error: streamOf(printed.streams, 'account').error?.code }).toEqual({ code: 1, error: 'target.shrinks' });
    const [swap] = await waiting();
    expect(swap).toMatchObject({ action: 'swap', facts: { before: 60, after: 10 } });
    expect((await run('approve', swap!.id)).code).toBe(0);
    expect(await rows('account')).toBe(10);
    expect(await target.query(`SELECT state FROM tidemark.approval WHERE id IN (${reset!.id}, ${swap!.id})`)).toEqual([{ state: 'done' }, { state: 'done' }]);
  });

  const refused: readonly (readonly [string, readonly string[], string])[] = [
    ['an unknown step', ['approve', '99999'], 'usage.unknown_approval'],
    ['no number at all', ['reject', "1'; drop"], 'usage.unknown_approval'],
    ['a change of a plan', ['approve', 'c3'], 'usage.unknown_approval'],
    ['a reset of an unknown source', ['reset', 'nowhere'], 'usage.unknown_source'],
    ['a reset of an unknown stream', ['reset', 'shop', '--stream', 'nothing'], 'usage.unknown_stream'],
    ['no id', ['approve'], 'usage.invalid'],
  ];
  test.each(refused)('%s is refused with exit code 2', async (_name, args, error) => {
    const { code, printed } = await run(...args);
    expect({ code, error: printed.error.code }).toEqual({ code: 2, error });
    if (args[1] === 'c3') expect(printed.error.hint).toContain('apply --approve c3');
  });
});
