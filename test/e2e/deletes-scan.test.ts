/** All keys are compared: rows that the source has no more are deleted or marked, below the cap or as approved; a source that only seems to shrink deletes nothing. */
import { createDerby } from '../support/derby.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

const ROWS = 200;

interface Made {
  readonly run: (sql: string) => Promise<unknown>;
  readonly target: PostgresDatabase;
  readonly tidemark: Tidemark;
}

const file = (kind: string, connection: string, streams: string) =>
  `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { overlap: 0s, poll_interval: 365d }\nsources:\n  - id: shop\n    kind: ${kind}\n    connection: ${connection}\n    streams: [${streams}]\n`;

const STREAMS = `{ table: soft, cursor: ts, deletes: { detect: scan, apply: soft } }, { table: hard, cursor: ts, deletes: { detect: scan, apply: hard } }, { table: plain, cursor: ts }`;

async function makeSql(product: 'postgres' | 'mariadb'): Promise<Made> {
  const source: PostgresDatabase | MariadbDatabase = product === 'postgres' ? await createDatabase('shop') : await createMariadb('shop');
  const target = await createDatabase('target');
  const ts = product === 'postgres' ? 'ts timestamptz(6) NOT NULL DEFAULT clock_timestamp()' : 'ts timestamp(6) NOT NULL DEFAULT current_timestamp(6)';
  for (const table of ['soft', 'hard', 'plain']) {
    await source.query(`CREATE TABLE ${table} (id int, part varchar(10), name varchar(40), ${ts}, PRIMARY KEY (id, part))`);
    await source.query(`INSERT INTO ${table} (id, part, name) VALUES ${Array.from({ length: ROWS }, (_, n) => `(${n + 1}, 'p${n % 3}', 'name ${n + 1}')`).join(', ')}`);
  }
  const tidemark = await Tidemark.start(file(product === 'postgres' ? 'postgres' : 'mysql', source.connection, STREAMS), { ...source.secrets, DESTINATION_URL: target.url });
  return { run: (sql) => source.query(sql), target, tidemark };
}

async function makeDerby(): Promise<Made> {
  const [source, target] = [await createDerby('shop'), await createDatabase('target')];
  for (const table of ['soft', 'hard', 'plain']) {
    await source.run(`create table "${table.toUpperCase()}" (id integer not null, part varchar(10) not null, name varchar(40), ts timestamp not null default current_timestamp, primary key (id, part))`);
    await source.run(`insert into ${table} (id, part, name) values ${Array.from({ length: ROWS }, (_, n) => `(${n + 1}, 'p${n % 3}', 'name ${n + 1}')`).join(', ')}`);
  }
  const tidemark = await Tidemark.start(file('db2', JSON.stringify(source.connection), STREAMS.replace(/cursor: ts/g, 'cursor: TS')), { DESTINATION_URL: target.url });
  return { run: (sql) => source.run(sql), target, tidemark };
}

describe.each(['postgres', 'mariadb', 'derby'] as const)('scan of %s', (product) => {
  describeWith({ postgres: true, temporal: true, ...(product === 'mariadb' ? { mariadb: true } : product === 'derby' ? { db2: true } : {}) }, 'for deletes', () => {
    let made: Made;
    const clock = product === 'postgres' ? 'clock_timestamp()' : product === 'mariadb' ? 'sysdate(6)' : 'current_timestamp';
    const count = (table: string, where = 'true') => made.target.value(`SELECT count(*) FROM shop.${table} WHERE ${where}`);
    const scan = async (...args: string[]) => {
      const { code, json, stdout, stderr } = await made.tidemark.run('sync', 'shop', '--detect-deletes', '--json', ...args);
      if (json === null) throw new Error(`${stdout}\n${stderr}\n${made.tidemark.workerTails()}`);
      return { code, error: json.error, of: (name: string): StreamResult => streamOf(json.streams, name) };
    };

    beforeAll(async () => {
      made = product === 'derby' ? await makeDerby() : await makeSql(product);
      await made.tidemark.apply();
      await made.tidemark.syncAll();
    });

    test('without the flag a deleted row stays; with it, it goes or is marked, and the equation holds', async () => {
      for (const table of ['soft', 'hard', 'plain']) await made.run(`DELETE FROM ${table} WHERE id IN (3, 7, 200)`);
      await made.tidemark.syncAll();
      expect([await count('soft', '_tidemark_deleted_at IS NULL'), await count('hard'), await count('plain')]).toEqual(['200', '200', '200']);
      const { code, of } = await scan();
      expect({ code, soft: of('soft').deleted, hard: of('hard').deleted, plain: of('plain').deleted }).toEqual({ code: 0, soft: 3, hard: 3, plain: 0 });
      expect([await count('soft'), await count('soft', '_tidemark_deleted_at IS NOT NULL AND id IN (3, 7, 200)'), await count('hard'), await count('plain')]).toEqual(['200', '3', '197', '200']);
      expect(await made.target.value("SELECT string_agg(concat_ws('/', stream, read, deleted), ' ' ORDER BY stream) FROM tidemark.ledger WHERE kind = 'scan'")).toBe('hard/3/3 soft/3/3');
      expect(await made.target.value("SELECT string_agg(concat_ws('/', stream, state, found, deleted, way), ' ' ORDER BY stream) FROM tidemark.delete_scan")).toBe(`hard/completed/3/3/${product === 'derby' ? 'extract' : 'digest'} soft/completed/3/3/${product === 'derby' ? 'extract' : 'digest'}`);
      const again = await scan();
      expect([again.of('soft').deleted, again.of('hard').deleted]).toEqual([0, 0]);
      expect((again.of('plain') as unknown as { notes: string[] }).notes.join()).toContain('--detect-deletes');
    });

    test('a row that comes back is live again, and one that arrived meanwhile stays', async () => {
      for (const table of ['soft', 'hard']) await made.run(`INSERT INTO ${table} (id, part, name, ts) VALUES (3, 'p2', 'again', ${clock}), (901, 'new', 'fresh', ${clock})`);
      const { code, of } = await scan();
      expect({ code, soft: of('soft').deleted, hard: of('hard').deleted }).toEqual({ code: 0, soft: 0, hard: 0 });
      expect([await count('soft', "id = 3 AND name = 'again' AND _tidemark_deleted_at IS NULL"), await count('hard', 'id IN (3, 901)'), await count('soft', 'id = 901')]).toEqual(['1', '2', '1']);
    });

    test('reconcile calls marked rows no difference', async () => {
      const { code, json } = await made.tidemark.run('reconcile', 'shop', 'soft', '--json');
      expect({ code, streams: json?.streams }).toMatchObject({ code: 0, streams: [{ missing: 0, extra: 0, different: 0 }] });
    });

    test('a truncated source deletes nothing: the stream asks, its neighbour goes on, a rejection keeps the rows', async () => {
      await made.run('DELETE FROM hard');
      await made.run("DELETE FROM soft WHERE id = 9");
      const before = await count('hard');
      const { code, of } = await scan();
      expect({ code, hard: of('hard').status, error: of('hard').error?.code, soft: of('soft').deleted }).toEqual({ code: 1, hard: 'parked', error: 'target.deletes_above_cap', soft: 1 });
      const id = /tidemark approve (\d+)/.exec(of('hard').error?.hint ?? '')?.[1] ?? '';
      expect([await count('hard'), await made.target.value("SELECT state FROM tidemark.delete_scan WHERE stream = 'hard' ORDER BY id DESC LIMIT 1")]).toEqual([before, 'waiting']);
      expect((await made.tidemark.run('reject', id, '--json')).code).toBe(0);
      expect(await made.target.value("SELECT count(*) FROM tidemark.stream WHERE parked IS NOT NULL")).toBe('0');
      const kept = await scan('--stream', 'hard');
      expect({ code: kept.code, status: kept.of('hard').status, deleted: kept.of('hard').deleted, rows: await count('hard') }).toEqual({ code: 0, status: 'completed', deleted: 0, rows: before });
    });

    test('an approval lets exactly the planned set go', async () => {
      await made.run(`INSERT INTO hard (id, part, name, ts) VALUES (1, 'p0', 'left', ${clock})`);
      const asked = await scan('--stream', 'hard');
      const id = /tidemark approve (\d+)/.exec(asked.of('hard').error?.hint ?? '')?.[1] ?? '';
      const { code, json } = await made.tidemark.run('approve', id, '--json');
      expect({ code, status: streamOf(json?.streams, 'hard').status }).toEqual({ code: 0, status: 'completed' });
      expect([await count('hard'), await count('hard', 'id = 1'), await made.target.value(`SELECT state FROM tidemark.approval WHERE id = ${id}`)]).toEqual(['1', '1', 'done']);
      expect(await made.target.value('SELECT bool_and(read = written + unchanged + rejected + superseded + deleted)::text FROM tidemark.ledger')).toBe('true');
    });

    test('a stream without a scan is a wrong input where it is named', async () => {
      const { code, error } = await scan('--stream', 'plain');
      expect({ code, error: error?.code }).toEqual({ code: 2, error: 'usage.invalid' });
    });
  });
});
