/** Changes of settings that rewrite a target: planned under ids that hold for nothing else, made when approved, and the old build kept as configured. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { ErrorInfo } from '../support/tidemark.ts';

interface Plan {
  readonly ok: boolean;
  readonly changes: readonly { readonly id: string; readonly action: string; readonly object: string; readonly destructive: boolean; readonly detail: string }[];
  readonly problems: readonly ErrorInfo[];
  readonly applied: readonly string[];
  readonly refused: readonly string[];
  readonly held: readonly string[];
}

const configuration = (source: PostgresDatabase, streams: readonly string[]) => `
destination: { url: "\${DESTINATION_URL}" }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams:
${streams.map((stream) => `      - ${stream}`).join('\n')}
`;

const PLAIN = ['{ table: one }', '{ table: two, keep_generations: 2 }', '{ table: three, keep_generations: 0 }', '{ table: four }'];

describeWith({ postgres: true, temporal: true }, 'a plan that rewrites targets', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const run = async (...args: string[]): Promise<{ code: number | NodeJS.Signals; printed: Plan }> => {
    const { code, stdout } = await tidemark.run(...args, '--json');
    return { code, printed: JSON.parse(stdout) as Plan };
  };
  const rebuilds = async () => (await run('plan')).printed.changes.filter(({ action }) => action === 'rebuild_target');
  const oldBuilds = async (table: string): Promise<number> =>
    Number(await target.value(`SELECT count(*) FROM pg_class WHERE relnamespace = 'tidemark_stage'::regnamespace AND relkind = 'r' AND relname LIKE 'old_%shop.${table}'`));

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const table of ['one', 'two', 'three', 'four']) {
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, code text NOT NULL UNIQUE, v text, updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${table} SELECT n, 'c' || n, 'v' || n FROM generate_series(1, 50) n`);
    }
    tidemark = await Tidemark.start(configuration(source, PLAIN), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  const CHANGED = ['{ table: one, target: bank.one }', '{ table: two, keep_generations: 2, key: [code] }', '{ table: three, keep_generations: 0, mode: replace }', '{ table: four, mask: { v: redact } }'];

  test('is refused as a whole stream, whose settings stay; its neighbours are applied', async () => {
    tidemark.configure(configuration(source, [CHANGED[0]!, CHANGED[1]!, PLAIN[2]!, '{ table: four, freshness: 5m }']));
    const planned = await rebuilds();
    expect(planned.map(({ object, destructive, detail }) => `${object} ${destructive} ${detail.split(':')[0]!}`)).toEqual(['bank.one true target shop.one → bank.one; shop.one stays as it is', 'shop.two true key (id) → (code)']);
    expect(planned.every(({ id }) => /^c\d+$/.test(id))).toBe(true);
    const { code, printed } = await run('apply', '--yes');
    expect({ code, ok: printed.ok, refused: printed.refused }).toEqual({ code: 1, ok: false, refused: planned.map(({ id }) => id) });
    expect(printed.held.every((id) => !printed.applied.includes(id))).toBe(true);
    expect(await target.query("SELECT stream, settings->>'target' AS target, settings->>'key' AS key, settings->>'freshnessSeconds' AS freshness FROM tidemark.stream ORDER BY ordinal")).toEqual([
      { stream: 'one', target: null, key: null, freshness: null }, { stream: 'two', target: null, key: null, freshness: null },
      { stream: 'three', target: null, key: null, freshness: null }, { stream: 'four', target: null, key: null, freshness: '300' },
    ]);
    for (const result of await tidemark.syncAll()) expect(result).toMatchObject({ status: 'completed', read: 0 });
  });

  test('ids hold while nothing changes, and for nothing else afterwards', async () => {
    const before = (await rebuilds()).map(({ id }) => id);
    expect((await rebuilds()).map(({ id }) => id)).toEqual(before);
    tidemark.configure(configuration(source, [CHANGED[0]!.replace('bank.one', 'bank.other'), ...CHANGED.slice(1)]));
    const { code, printed } = await run('apply', '--yes', '--approve', before[0]!);
    expect({ code, refused: printed.refused.length }).toEqual({ code: 1, refused: 4 });
    expect(printed.refused).not.toContain(before[0]);
  });

  test('approved, the next sync builds what was asked for', async () => {
    tidemark.configure(configuration(source, CHANGED));
    const [one, ...others] = (await rebuilds()).map(({ id }) => id);
    expect((await run('apply', '--yes', '--approve', one!)).printed.refused).toEqual(others);
    expect((await run('apply', '--yes', '--approve', ...others)).code).toBe(0);
    expect((await run('plan')).printed).toMatchObject({ changes: [], problems: [] });
    const results = await tidemark.syncAll();
    for (const result of results) expect([result.stream, result.status, result.error]).toEqual([result.stream, 'completed', null]);
    expect(streamOf(results, 'one')).toMatchObject({ target: 'bank.one', read: 50, written: 50 });
    expect(await target.query("SELECT (SELECT count(*) FROM bank.one) AS new, (SELECT count(*) FROM shop.one) AS old, (SELECT count(*) FROM shop.four WHERE v = '[redacted]') AS masked")).toEqual([{ new: '50', old: '50', masked: '50' }]);
    expect(await target.value("SELECT array_to_string(array_agg(attname), ',') FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey) WHERE indrelid = 'shop.two'::regclass AND indisunique")).toContain('code');
    await source.query("UPDATE two SET id = id + 1000, v = 'by code', updated_at = clock_timestamp() WHERE code = 'c7'");
    expect(streamOf(await tidemark.syncAll(), 'two')).toMatchObject({ status: 'completed', written: 1 });
    expect(await target.query("SELECT id, count(*) OVER () AS n FROM shop.two WHERE code = 'c7'")).toEqual([{ id: '1007', n: '1' }]);
    for (const result of await tidemark.syncAll()) expect(result.status).toBe('completed');
  });

  test.each([['two', 2], ['three', 0], ['one', 1]] as const)('keep_generations: of %s are kept %i', async (table, kept) => {
    for (const round of [1, 2, 3]) {
      await source.query(`UPDATE ${table} SET v = 'round ${round}', updated_at = clock_timestamp() WHERE id = 1`);
      expect(streamOf((await tidemark.must('sync', 'shop', '--stream', table, '--full', '--json')).streams, table).status).toBe('completed');
    }
    const schema = table === 'one' ? 'bank' : 'shop';
    expect(Number(await target.value(`SELECT count(*) FROM pg_class WHERE relnamespace = 'tidemark_stage'::regnamespace AND relkind = 'r' AND relname LIKE 'old_%${schema}.${table}'`))).toBe(kept);
    expect(await oldBuilds('four')).toBe(0);
    expect(await target.value(`SELECT count(*) FROM tidemark.generation WHERE stream = '${table}' AND state = 'current'`)).toBe('1');
  });
});

describeWith({ postgres: true, temporal: true }, 'columns that are not read any more', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  const values = (table: string) => target.value(`SELECT count(v) FROM shop.${table}`);
  const planned = async () => JSON.parse((await tidemark.run('plan', '--json')).stdout) as Plan;

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const table of ['excluded', 'included', 'dropped', 'noticed']) {
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text, w text, updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${table} SELECT n, 'v' || n, 'w' || n FROM generate_series(1, 50) n`);
    }
    tidemark = await Tidemark.start(configuration(source, ['{ table: excluded }', '{ table: included }', '{ table: dropped }', '{ table: noticed }']), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test('their values go, once that is approved, and not before', async () => {
    tidemark.configure(configuration(source, ['{ table: excluded, columns: { exclude: [v] } }', '{ table: included, columns: { include: [id, w, updated_at] } }', '{ table: dropped, mask: { v: drop } }', '{ table: noticed, columns: { include: [id, v, w, updated_at] } }']));
    const rebuilds = (await planned()).changes.filter(({ action }) => action === 'rebuild_target');
    expect(rebuilds.map(({ object, destructive, detail }) => [object, destructive, detail.split(':')[0]])).toEqual([
      ['shop.excluded', true, 'columns v are not read any more, and their values go'],
      ['shop.included', true, 'columns v are not read any more, and their values go'],
      ['shop.dropped', true, 'masks'],
    ]);
    expect((await tidemark.run('apply', '--yes', '--json')).code).toBe(1);
    await tidemark.syncAll();
    for (const table of ['excluded', 'included', 'dropped']) expect([table, await values(table)]).toEqual([table, '50']);
    await tidemark.must('apply', '--yes', '--json', '--approve', ...rebuilds.map(({ id }) => id));
    const results = await tidemark.syncAll();
    for (const table of ['excluded', 'included', 'dropped']) expect([streamOf(results, table).status, await values(table), await target.value(`SELECT count(w) FROM shop.${table}`)]).toEqual(['completed', '0', '50']);
    expect(await values('noticed')).toBe('50');
    expect((await planned()).changes).toEqual([]);
  });

  test('rows that change later have none, and none is made up', async () => {
    await source.query("UPDATE excluded SET w = 'new', v = 'unseen', updated_at = clock_timestamp() WHERE id = 3");
    expect(streamOf(await tidemark.syncAll(), 'excluded')).toMatchObject({ status: 'completed', written: 1 });
    expect(await target.query("SELECT w, v FROM shop.excluded WHERE id = 3")).toEqual([{ w: 'new', v: null }]);
  });
});
