/** Rows that are older than a stream keeps them: they go in small batches, do not come back, and are no difference. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { Document, ErrorInfo } from '../support/tidemark.ts';

const TABLES = ['doc', 'whole', 'day'] as const;

const configuration = (source: PostgresDatabase, keep: string | null, column = 'made') => {
  const retention = keep === null ? '' : `, retention: { column: ${column}, keep: ${keep} }`;
  return `
destination: { url: "\${DESTINATION_URL}" }
defaults: { overlap: 0s }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams:
      - { table: doc${retention}, touch_log: [v] }
      - { table: whole, mode: replace${retention} }
      - { table: day${retention} }
`;
};

interface Plan extends Omit<Document, 'changes'> {
  readonly changes: readonly { readonly id: string; readonly action: string; readonly object: string; readonly destructive: boolean; readonly detail: string }[];
  readonly problems: readonly ErrorInfo[];
  readonly applied: readonly string[];
  readonly refused: readonly string[];
}

describeWith({ postgres: true, temporal: true }, 'retention', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const run = async (...args: string[]): Promise<{ code: number | NodeJS.Signals; printed: Plan }> => {
    const { code, stdout } = await tidemark.run(...args, '--json');
    return { code, printed: JSON.parse(stdout) as Plan };
  };
  const rows = async (table: string): Promise<number> => Number(await target.value(`SELECT count(*) FROM shop.${table}`));
  /** As if an hour had passed since the last look. */
  const timePasses = (): Promise<unknown> => target.query("UPDATE tidemark.retention_pass SET ended_at = ended_at - interval '2 hours'");

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    const types = { doc: 'timestamptz', whole: 'timestamp', day: 'date' };
    for (const table of TABLES) {
      // Row 1 has no age; rows 2 to 40 are of eight years ago, the others of today.
      await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v text, made ${types[table]}, updated_at timestamptz NOT NULL DEFAULT now());
        INSERT INTO ${table} SELECT n, 'v' || n, CASE WHEN n = 1 THEN NULL WHEN n <= 40 THEN (now() at time zone 'UTC') - interval '8 years' ELSE (now() at time zone 'UTC') END FROM generate_series(1, 100) n`);
    }
    tidemark = await Tidemark.start(configuration(source, null), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
  });

  test('is planned: nothing goes before it is approved, and the neighbours of what waits are applied', async () => {
    tidemark.configure(configuration(source, '7 years'));
    const { printed: plan } = await run('plan');
    const planned = plan.changes.filter(({ action }) => action === 'set_retention');
    expect(planned.map(({ object, destructive }) => `${object} ${destructive}`)).toEqual(['shop.doc.made true', 'shop.whole.made true', 'shop.day.made true']);
    expect(planned[0]!.detail).toBe('rows older than 7 years are deleted; now that would be 39 rows');
    const refused = await run('apply', '--yes');
    expect({ code: refused.code, refused: refused.printed.refused }).toEqual({ code: 1, refused: planned.map(({ id }) => id) });
    await tidemark.syncAll();
    expect(await Promise.all(TABLES.map(rows))).toEqual([100, 100, 100]);
    const approved = await run('apply', '--yes', '--approve', planned.map(({ id }) => id).join(','));
    expect({ code: approved.code, refused: approved.printed.refused }).toEqual({ code: 0, refused: [] });
    expect((await run('plan')).printed.changes).toEqual([]);
  });

  test('the next sync deletes what is past, with a record, an event and the touch log of each', async () => {
    for (const result of await tidemark.syncAll()) expect(result.status).toBe('completed');
    expect(await Promise.all(TABLES.map(rows))).toEqual([61, 61, 61]);
    expect(await target.query("SELECT stream, sum(rows) AS n, min(keep) AS keep FROM tidemark.retention GROUP BY stream ORDER BY stream")).toEqual([
      { stream: 'day', n: '39', keep: '7 years' }, { stream: 'doc', n: '39', keep: '7 years' }, { stream: 'whole', n: '39', keep: '7 years' },
    ]);
    expect(await target.query("SELECT sum((data->>'rows')::int) AS n FROM tidemark.event WHERE type = 'RetentionApplied'")).toEqual([{ n: '117' }]);
    expect(await target.value("SELECT count(*) FROM tidemark.touch t JOIN tidemark.ledger l USING (batch) WHERE t.stream = 'doc' AND old->>'v' BETWEEN 'v2' AND 'v40' AND l.kind = 'retention'")).not.toBe('0');
    expect(await target.value('SELECT count(*) FROM tidemark.ledger WHERE read <> written + unchanged + rejected + superseded + deleted')).toBe('0');
    expect(await target.value('SELECT count(*) FROM shop.doc WHERE made IS NULL')).toBe('1');
  });

  test('what is past does not come back: by a change, a full refresh or a backfill', async () => {
    await source.query("UPDATE doc SET v = 'touched', updated_at = clock_timestamp() WHERE id IN (5, 50)");
    expect(streamOf(await tidemark.syncAll(), 'doc')).toMatchObject({ read: 2, written: 1, superseded: 1 });
    expect(streamOf(await tidemark.syncAll('--full'), 'doc')).toMatchObject({ status: 'completed', read: 100, superseded: 39 });
    await tidemark.must('backfill', 'shop', 'doc', '--from', '2020-01-01', '--to', '2050-01-01', '--slice', '5000d', '--json');
    expect(await Promise.all(TABLES.map(rows))).toEqual([61, 61, 61]);
  });

  test('a row that the source moves out of what is kept goes from the target', async () => {
    await source.query("UPDATE doc SET made = made - interval '9 years', updated_at = clock_timestamp() WHERE id = 60");
    expect(streamOf(await tidemark.syncAll(), 'doc')).toMatchObject({ read: 1, superseded: 1 });
    expect(await target.value('SELECT count(*) FROM shop.doc WHERE id = 60')).toBe('0');
    expect(await target.query("SELECT rows FROM tidemark.retention ORDER BY id DESC LIMIT 1")).toEqual([{ rows: '1' }]);
  });

  test('reconcile finds no difference, and names a real one', async () => {
    const { code, printed } = await run('reconcile', 'shop');
    expect(code).toBe(0);
    expect(printed.streams).toMatchObject([{ sourceRows: 60, targetRows: 60, missing: 0, extra: 0 }, { sourceRows: 61, missing: 0 }, { sourceRows: 61, missing: 0 }]);
    await target.query('DELETE FROM shop.doc WHERE id = 77');
    expect((await run('reconcile', 'shop', 'doc')).printed.streams).toMatchObject([{ missing: 1, extra: 0, different: 0 }]);
    expect((await run('reconcile', 'shop', 'doc', '--repair')).code).toBe(0);
    expect(await rows('doc')).toBe(60);
  });

  test('time alone lets rows go, also where the source has nothing new', async () => {
    await target.query("UPDATE shop.day SET made = made - interval '8 years' WHERE id > 90");
    await tidemark.syncAll();
    expect(await rows('day')).toBe(61);
    await timePasses();
    await tidemark.syncAll();
    expect(await rows('day')).toBe(51);
  });

  test('a shorter period is destructive, a longer one is not', async () => {
    tidemark.configure(configuration(source, '18 months'));
    expect((await run('plan')).printed.changes.filter(({ action }) => action === 'set_retention').every(({ destructive }) => destructive)).toBe(true);
    tidemark.configure(configuration(source, '8000 days'));
    expect((await run('plan')).printed.changes.filter(({ action }) => action === 'set_retention').map(({ destructive }) => destructive)).toEqual([false, false, false]);
  });

  const bad: readonly (readonly [string, string, string])[] = [
    ['a column that is no date', 'v', 'which is text'],
    ['a column that the source does not have', 'madee', 'retention.column names the column madee'],
  ];
  test.each(bad)('%s is a problem of the plan', async (_name, column, message) => {
    tidemark.configure(configuration(source, '7 years', column));
    expect((await run('plan')).printed.problems.map((problem) => problem.message)).toEqual(TABLES.map((): unknown => expect.stringContaining(message)));
  });
});
