/** A target that somebody altered by hand (F-50): refused before a row is read, by an error that names the column. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

interface Case {
  readonly table: string;
  /** At the destination; {@link undo} takes it back. */
  readonly alter: string;
  readonly undo: string;
  readonly error: Readonly<Record<string, unknown>>;
}

const CASES: readonly Case[] = [
  { table: 'lacking', alter: 'ALTER TABLE shop.lacking DROP COLUMN v', undo: 'ALTER TABLE shop.lacking ADD COLUMN v varchar(20)', error: { code: 'target.column_conflict', message: expect.stringContaining('Column v of shop.lacking') } },
  { table: 'narrow', alter: 'ALTER TABLE shop.narrow ALTER COLUMN amount TYPE numeric(8,0)', undo: 'ALTER TABLE shop.narrow ALTER COLUMN amount TYPE numeric(12,4)', error: { code: 'target.type_mismatch', message: expect.stringContaining('Column amount of shop.narrow') } },
  { table: 'strict', alter: 'ALTER TABLE shop.strict ADD COLUMN must int NOT NULL DEFAULT 1; ALTER TABLE shop.strict ALTER COLUMN must DROP DEFAULT', undo: 'ALTER TABLE shop.strict DROP COLUMN must', error: { code: 'target.column_conflict', message: expect.stringContaining('Column must of shop.strict') } },
  {
    table: 'guarded',
    alter: "CREATE FUNCTION shop.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no: %', NEW; END $$; CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON shop.guarded FOR EACH ROW EXECUTE FUNCTION shop.refuse()",
    undo: 'DROP TRIGGER refuse ON shop.guarded',
    error: { code: 'target.constraint', message: expect.stringContaining('trigger') },
  },
];

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, kind: postgres, connection: ${source.connection}, streams: [${CASES.map(({ table }) => table).join(', ')}] }
`;

describeWith({ postgres: true, temporal: true }, 'a target altered by hand', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  let first: readonly StreamResult[];
  let then: readonly StreamResult[];
  let healed: readonly StreamResult[];
  const sync = async () => (await tidemark.run('sync', 'shop', '--json')).json!.streams!;

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    for (const { table } of CASES) await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, v varchar(20), amount numeric(12,4), updated_at timestamptz NOT NULL DEFAULT now()); INSERT INTO ${table} SELECT n, 'secret' || n, n FROM generate_series(1, 5) n`);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    first = await tidemark.syncAll();
    for (const { table, alter } of CASES) {
      await target.query(alter);
      await source.query(`INSERT INTO ${table} VALUES (6, 'secret6', 1.5)`);
    }
    then = await sync();
    for (const { undo } of CASES) await target.query(undo);
    healed = await sync();
  });

  test.each(CASES.map((each) => [each.table, each] as const))('%s', async (table, { error }) => {
    const of = (results: readonly StreamResult[]) => results.find(({ stream }) => stream === table)!;
    expect(of(first)).toMatchObject({ status: 'completed', read: 5 });
    expect(of(then)).toMatchObject({ status: 'parked', written: 0, error });
    expect(JSON.stringify(of(then))).not.toContain('secret');
    expect(of(healed)).toMatchObject({ status: 'completed', error: null });
    expect(await target.value(`SELECT count(*) FROM shop.${table}`)).toBe('6');
  });
});
