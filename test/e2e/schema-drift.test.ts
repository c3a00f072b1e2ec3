/** The source's tables change between two runs: what each policy makes of it. */
import { compareTables } from '../support/compare.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb, quietMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { Document, StreamResult } from '../support/tidemark.ts';

type Product = 'postgres' | 'mariadb';

const TABLES = ['grown', 'widened', 'dropped', 'renamed', 'narrowed', 'retyped', 'unkeyed', 'uncursored', 'stamped', 'nullable', 'quiet'];

const configuration = (product: Product, source: { connection: string }, settings = '') => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - { id: shop, kind: ${product}, connection: ${source.connection}, streams: [${TABLES.map((table) => (table === 'renamed' ? '{ table: renamed, columns: { exclude: [spare] } }' : table)).join(', ')}] }
  - { id: ice, kind: ${product}, connection: ${source.connection}, drift: freeze, ${settings} streams: [frozen] }
  - { id: blind, kind: ${product}, connection: ${source.connection}, drift: ignore, streams: [ignored] }
`;

const TIME: Record<Product, string> = { postgres: 'timestamptz(6)', mariadb: 'datetime(6)' };
const NOW: Record<Product, string> = { postgres: 'now()', mariadb: 'utc_timestamp(6)' };
/** `ALTER TABLE t …` that gives a column another type. */
const retype = (product: Product, column: string, type: string) => (product === 'postgres' ? `ALTER COLUMN ${column} TYPE ${type} USING ${column}::${type}` : `MODIFY ${column} ${type}`);

describeWith({ postgres: true, mariadb: true, temporal: true }, 'schema drift', () => {
  describe.each<Product>(['postgres', 'mariadb'])('%s', (product) => {
    let source: PostgresDatabase | MariadbDatabase;
    let target: PostgresDatabase;
    let tidemark: Tidemark;
    let planned: Document;
    let results: readonly StreamResult[];

    const insert = (table: string, id: number, more = '') => source.query(`INSERT INTO ${table} (id, v, updated_at${more === '' ? '' : `, ${more.split('=')[0]}`}) VALUES (${id}, 'v${id}', ${NOW[product]}${more === '' ? '' : `, ${more.split('=')[1]}`})`);
    const sync = async (...args: string[]) => (await tidemark.run('sync', '--all', '--json', ...args)).json?.streams ?? [];
    const of = (stream: string, from: readonly StreamResult[] = results): StreamResult => from.find((each) => each.stream === stream)!;
    const typeOf = (table: string, column: string) => target.value("SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2", [table, column]);
    const events = (stream: string) => target.query("SELECT data::text FROM tidemark.event WHERE type = 'SchemaChanged' AND stream = $1 ORDER BY id", [stream]);

    beforeAll(async () => {
      // Rows that are read again have other values: of MariaDB all are, where a transaction of another test was open.
      source = product === 'postgres' ? await createDatabase('drift') : await createMariadb('drift', await quietMariadb());
      target = await createDatabase('target');
      for (const table of [...TABLES, 'frozen', 'ignored']) {
        const key = table === 'unkeyed' ? 'id int NOT NULL, code int PRIMARY KEY DEFAULT 1' : 'id int PRIMARY KEY';
        await source.query(`CREATE TABLE ${table} (${key}, n int, amount decimal(12,4) DEFAULT 1.5, v varchar(10), spare varchar(10) DEFAULT 's', updated_at ${TIME[product]} NOT NULL)`);
        await insert(table, 1, table === 'unkeyed' ? 'code=1' : '');
        await insert(table, 2, table === 'unkeyed' ? 'code=2' : '');
      }
      tidemark = await Tidemark.start(configuration(product, source), { ...source.secrets, DESTINATION_URL: target.url });
      await tidemark.apply();
      await tidemark.syncAll();

      await source.query(`ALTER TABLE grown ADD COLUMN extra varchar(20); ALTER TABLE quiet ADD COLUMN extra int; ALTER TABLE frozen ADD COLUMN extra int; ALTER TABLE ignored ADD COLUMN extra int; ALTER TABLE ignored DROP COLUMN spare`);
      await source.query(`ALTER TABLE widened ${retype(product, 'n', 'bigint')}; ALTER TABLE widened ${retype(product, 'v', 'varchar(100)')}; ALTER TABLE widened ${retype(product, 'amount', 'decimal(20,6)')}`);
      await source.query('ALTER TABLE dropped DROP COLUMN spare; ALTER TABLE renamed RENAME COLUMN n TO number; ALTER TABLE renamed DROP COLUMN spare');
      await source.query(`ALTER TABLE narrowed ${retype(product, 'amount', 'decimal(12,0)')}; ALTER TABLE retyped ${retype(product, 'n', 'varchar(20)')}`);
      await source.query(`ALTER TABLE unkeyed RENAME COLUMN code TO other; ALTER TABLE uncursored DROP COLUMN updated_at; ALTER TABLE stamped ${retype(product, 'updated_at', 'date')}`);
      await source.query(product === 'postgres' ? 'ALTER TABLE nullable ALTER COLUMN updated_at DROP NOT NULL' : `ALTER TABLE nullable MODIFY updated_at ${TIME[product]} NULL`);
      await insert('grown', 3, "extra='new'");
      await source.query(`INSERT INTO widened (id, n, v, amount, updated_at) VALUES (3, 5000000000, 'longer than ten characters', 1.234567, ${NOW[product]})`);
      await insert('dropped', 3);
      await source.query(`UPDATE dropped SET v = 'changed', updated_at = ${NOW[product]} WHERE id = 1`);
      await insert('renamed', 3, 'number=7');
      for (const table of ['narrowed', 'retyped', 'stamped', 'frozen', 'ignored']) await insert(table, 3);
      await source.query("INSERT INTO nullable (id, v) VALUES (3, 'no cursor')");
      planned = (await tidemark.run('plan', '--json')).json!;
      results = await sync();
    });

    test('evolve: a new column is added, with the rows that have it; rows read before have NULL', async () => {
      expect(of('grown')).toMatchObject({ status: 'completed', error: null });
      expect(await target.query('SELECT id::text, extra FROM shop.grown ORDER BY id')).toEqual([{ id: '1', extra: null }, { id: '2', extra: null }, { id: '3', extra: 'new' }]);
      expect(planned.changes).toContainEqual(expect.objectContaining({ action: 'add_column', object: 'shop.grown.extra', destructive: false }));
      expect(await events('grown')).toHaveLength(1);
    });

    test('a table that was altered, and has no new row, is looked at all the same', async () => {
      expect(of('quiet')).toMatchObject({ status: 'completed' });
      expect(await typeOf('shop.quiet', 'extra')).toBe('integer');
    });

    test('evolve: wider types widen the target, values stay, and what rewrites is marked', async () => {
      expect(of('widened')).toMatchObject({ status: 'completed', error: null });
      expect(await Promise.all(['n', 'v', 'amount'].map((column) => typeOf('shop.widened', column)))).toEqual(['bigint', 'character varying(100)', 'numeric(20,6)']);
      expect((await compareTables(source, 'widened', target, 'shop.widened', ['id'])).differences.filter((each) => !JSON.stringify(each).includes('1.5'))).toEqual([]);
      const object = (column: string) => planned.changes!.find((change) => change.object === `shop.widened.${column}`);
      expect([object('n'), object('v'), object('amount')].map((change) => [change?.action, change?.destructive])).toEqual([['alter_column', true], ['alter_column', false], ['alter_column', true]]);
    });

    test('evolve: a dropped column stays and is NULL in rows that are written from now on', async () => {
      expect(of('dropped')).toMatchObject({ status: 'completed', error: null, notes: expect.arrayContaining([expect.stringContaining('spare')]) });
      expect(await target.query('SELECT id::text, spare FROM shop.dropped WHERE id <> 2 ORDER BY id')).toEqual([{ id: '1', spare: null }, { id: '3', spare: null }]);
      expect(JSON.parse((await events('dropped'))[0]!['data']!)).toMatchObject({ target: 'shop.dropped', dropped: [{ column: 'spare' }], added: [] });
    });

    test('evolve: a renamed column is a drop and an add; a column that is excluded may go', async () => {
      expect(of('renamed')).toMatchObject({ status: 'completed', error: null });
      expect(await target.query('SELECT id::text, n, number FROM shop.renamed WHERE id = 3')).toEqual([{ id: '3', n: null, number: '7' }]);
    });

    const CHANGED = [['narrowed', 'amount', 'numeric(12,0)'], ['retyped', 'n', 'character varying(20)'], ['stamped', 'updated_at', 'date']] as const;

    test('a type that became narrower or another one parks, and stays so; a full sync builds the next generation with it', async () => {
      const again = (await tidemark.run('sync', 'shop', '--json')).json!.streams!;
      for (const [table, column, type] of CHANGED) {
        expect(of(table)).toMatchObject({ status: 'parked', read: 0, error: { code: 'source.schema_changed', message: expect.stringContaining(column), hint: expect.stringContaining(`tidemark sync shop --stream ${table} --full`) } });
        expect(planned.changes).toContainEqual(expect.objectContaining({ action: 'alter_column', object: `shop.${table}`, destructive: true }));
        expect(of(table, again)).toMatchObject({ status: 'parked', read: 0 });
        expect(await typeOf(`shop.${table}`, column)).not.toBe(type);
        const [full] = (await tidemark.run('sync', 'shop', '--stream', table, '--full', '--json')).json!.streams!;
        expect(full).toMatchObject({ status: 'completed', error: null });
        expect(await typeOf(`shop.${table}`, column)).toBe(type);
        expect(await compareTables(source, table, target, `shop.${table}`, ['id'])).toMatchObject({ sourceRows: 3, targetRows: 3, differences: [] });
        await insert(table, 4);
      }
      const next = (await tidemark.run('sync', 'shop', '--json')).json!.streams!;
      for (const [table] of CHANGED) {
        expect(of(table, next)).toMatchObject({ status: 'completed', error: null });
        expect(await compareTables(source, table, target, `shop.${table}`, ['id'])).toMatchObject({ targetRows: 4, differences: [] });
        expect(await events(table)).toHaveLength(1);
      }
    });

    test('a key or cursor that is gone parks, and nothing is read from the beginning', async () => {
      expect(of('unkeyed')).toMatchObject({ status: 'parked', read: 0, error: { code: 'source.key_missing' } });
      expect(of('uncursored')).toMatchObject({ status: 'parked', read: 0, error: { code: 'source.cursor_missing', message: expect.stringContaining('updated_at') } });
    });

    test('rows without a cursor value arrive where the cursor may be NULL from now on', async () => {
      expect(of('nullable')).toMatchObject({ status: 'completed' });
      expect(await compareTables(source, 'nullable', target, 'shop.nullable', ['id'])).toMatchObject({ targetRows: 3, differences: [] });
    });

    test('ignore: a new column is not read, a dropped one is NULL, nothing is told', async () => {
      expect(of('ignored')).toMatchObject({ status: 'completed', error: null, notes: [] });
      expect(await typeOf('blind.ignored', 'extra')).toBeNull();
      expect(await target.query('SELECT id::text, spare FROM blind.ignored WHERE id <> 2 ORDER BY id')).toEqual([{ id: '1', spare: 's' }, { id: '3', spare: null }]);
      expect(await events('ignored')).toEqual([]);
    });

    test('freeze: any change parks and writes nothing; apply lets it through', async () => {
      expect(of('frozen')).toMatchObject({ status: 'parked', read: 0, error: { code: 'run.schema_frozen', message: expect.stringContaining('extra') } });
      expect(await target.value('SELECT count(*) FROM ice.frozen')).toBe('2');
      expect(planned.changes).toContainEqual(expect.objectContaining({ action: 'accept_schema', object: 'ice.frozen', destructive: false }));
      tidemark.configure(configuration(product, source, 'statement_timeout: 61s,'));
      const id = (await tidemark.run('plan', '--json')).json!.changes!.find((change) => change.action === 'accept_schema')!.id;
      const { json } = await tidemark.run('apply', '--yes', '--json');
      expect((json as unknown as { applied: string[] }).applied).toContain(id);
      const [accepted] = (await tidemark.run('sync', 'ice', '--json')).json!.streams!;
      expect(accepted).toMatchObject({ status: 'completed', error: null });
      expect(await compareTables(source, 'frozen', target, 'ice.frozen', ['id'])).toMatchObject({ targetRows: 3, differences: [] });
      await source.query('ALTER TABLE frozen DROP COLUMN spare');
      expect((await tidemark.run('sync', 'ice', '--json')).json!.streams![0]).toMatchObject({ status: 'parked', error: { code: 'run.schema_frozen' } });
    });

    test('approve: a destructive change of the plan builds the next generation in the next run', async () => {
      await source.query(`ALTER TABLE quiet ${retype(product, 'amount', 'decimal(12,0)')}`);
      await insert('quiet', 3);
      const found = (await tidemark.run('plan', '--json')).json!.changes!.find((change) => change.object === 'shop.quiet')!;
      expect((await tidemark.run('apply', '--yes', '--json')).code).toBe(1);
      expect((await tidemark.run('sync', 'shop', '--stream', 'quiet', '--json')).json!.streams![0]).toMatchObject({ status: 'parked' });
      await tidemark.run('apply', '--yes', '--approve', found.id, '--json');
      expect((await tidemark.run('sync', 'shop', '--stream', 'quiet', '--json')).json!.streams![0]).toMatchObject({ status: 'completed' });
      expect(await typeOf('shop.quiet', 'amount')).toBe('numeric(12,0)');
      expect((await compareTables(source, 'quiet', target, 'shop.quiet', ['id'])).differences).toEqual([]);
    });
  });
});
