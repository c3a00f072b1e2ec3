/** A column of the source says that a row is deleted: the target's row goes, or is marked; a late older batch never brings it back. */
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

const ROWS = 50;

interface Made {
  readonly source: PostgresDatabase | MariadbDatabase;
  readonly target: PostgresDatabase;
  readonly tidemark: Tidemark;
}

/** Tables `soft_y` (char(1) Y, soft), `hard_1` (number 1, hard) and `hard_b` (true, hard) with {@link ROWS} live rows and three that are deleted from the first. */
async function make(product: 'postgres' | 'mariadb'): Promise<Made> {
  const source = product === 'postgres' ? await createDatabase('shop') : await createMariadb('shop');
  const target = await createDatabase('target');
  const at = product === 'postgres' ? "at timestamptz(6) NOT NULL DEFAULT clock_timestamp()" : 'at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6)';
  const tables = [
    ['soft_y', 'char(2)', "'N'", "'Y'", '{ detect: tombstone, column: gone, is: Y, apply: soft }'],
    ['hard_1', 'decimal(4,1)', '0', '1', '{ detect: tombstone, column: gone, is: 1, apply: hard }'],
    ['hard_b', 'boolean', 'false', 'true', '{ detect: tombstone, column: gone, is: true, apply: hard }'],
  ] as const;
  for (const [table, type, live, dead] of tables) {
    await source.query(`CREATE TABLE ${table} (id int PRIMARY KEY, name varchar(40), gone ${type}, ${at})`);
    const rows = Array.from({ length: ROWS + 3 }, (_, n) => `(${n + 1}, 'name ${n + 1}', ${n < ROWS ? live : dead})`);
    await source.query(`INSERT INTO ${table} (id, name, gone) VALUES ${rows.join(', ')}`);
  }
  const streams = tables.map(([table, , , , deletes]) => `{ table: ${table}, cursor: at, deletes: ${deletes} }`);
  const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { overlap: 0s }\nsources:\n  - id: shop\n    kind: ${product === 'postgres' ? 'postgres' : 'mysql'}\n    connection: ${source.connection}\n    streams: [${streams.join(', ')}]\n`;
  const tidemark = await Tidemark.start(file, { ...source.secrets, DESTINATION_URL: target.url });
  await tidemark.apply();
  return { source, target, tidemark };
}

describe.each(['postgres', 'mariadb'] as const)('tombstones of %s', (product) => {
  describeWith({ postgres: true, temporal: true, ...(product === 'mariadb' ? { mariadb: true } : {}) }, 'in the load', () => {
    let made: Made;
    const clock = product === 'postgres' ? 'clock_timestamp()' : 'sysdate(6)';
    const change = (table: string, ids: string, sets: string) => made.source.query(`UPDATE ${table} SET ${sets}, at = ${clock} WHERE id IN (${ids})`);
    const count = (table: string, where = 'true') => made.target.value(`SELECT count(*) FROM shop.${table} WHERE ${where}`);
    const balanced = () => made.target.value('SELECT bool_and(read = written + unchanged + rejected + superseded + deleted)::text FROM tidemark.ledger');

    beforeAll(async () => {
      made = await make(product);
    });

    test('the first load leaves hard ones out and marks soft ones', async () => {
      const streams = await made.tidemark.syncAll();
      expect(streamOf(streams, 'soft_y')).toMatchObject({ status: 'completed', written: ROWS + 3, deleted: 0 });
      expect(streamOf(streams, 'hard_1')).toMatchObject({ status: 'completed', written: ROWS, deleted: 0 });
      expect([await count('soft_y'), await count('soft_y', '_tidemark_deleted_at IS NOT NULL'), await count('hard_1'), await count('hard_b')]).toEqual([String(ROWS + 3), '3', String(ROWS), String(ROWS)]);
      expect(await made.target.value("SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_schema = 'shop' AND table_name = 'soft_y'")).toBe('id,name,gone,at,_tidemark_batch,_tidemark_deleted_at');
    });

    test('a tombstone deletes, once; the other columns of a marked row follow', async () => {
      await change('soft_y', '1, 2', "gone = 'Y', name = 'last words'");
      await change('hard_1', '1, 2', 'gone = 1');
      await change('hard_b', '1, 2', 'gone = true');
      const streams = await made.tidemark.syncAll();
      for (const name of ['soft_y', 'hard_1', 'hard_b']) expect(streamOf(streams, name)).toMatchObject({ status: 'completed', written: 0, deleted: 2 });
      expect(await count('soft_y', "_tidemark_deleted_at IS NOT NULL AND name = 'last words'")).toBe('2');
      expect([await count('hard_1'), await count('hard_b')]).toEqual([String(ROWS - 2), String(ROWS - 2)]);
      const when = await made.target.value('SELECT _tidemark_deleted_at FROM shop.soft_y WHERE id = 1');
      await change('soft_y', '1', "name = 'more words'");
      await change('hard_1', '1', "name = 'more words'");
      const again = await made.tidemark.syncAll();
      expect(streamOf(again, 'soft_y')).toMatchObject({ written: 1, deleted: 0 });
      expect(streamOf(again, 'hard_1')).toMatchObject({ written: 0, deleted: 0 });
      expect(await made.target.value('SELECT _tidemark_deleted_at FROM shop.soft_y WHERE id = 1')).toBe(when);
      expect(await made.target.value("SELECT count(*) FROM tidemark.event WHERE type = 'DeletesApplied'")).toBe('3');
      expect(await balanced()).toBe('true');
    });

    test('a row that comes back is live again and counts as written', async () => {
      await change('soft_y', '1', "gone = 'N'");
      await change('hard_1', '1', 'gone = 0');
      const streams = await made.tidemark.syncAll();
      expect(streamOf(streams, 'soft_y')).toMatchObject({ written: 1, deleted: 0 });
      expect(streamOf(streams, 'hard_1')).toMatchObject({ written: 1, deleted: 0 });
      expect([await count('soft_y', 'id = 1 AND _tidemark_deleted_at IS NULL'), await count('hard_1', 'id = 1')]).toEqual(['1', '1']);
    });

    test('reconcile takes deleted rows for no difference', async () => {
      const { code, json } = await made.tidemark.run('reconcile', 'shop', '--json');
      expect({ code, streams: json?.streams }).toMatchObject({ code: 0, streams: ['soft_y', 'hard_1', 'hard_b'].map((stream) => ({ stream, missing: 0, extra: 0, different: 0 })) });
    });

    test('above the cap the stream stops and asks; approved, exactly that is deleted', async () => {
      await change('hard_1', '11, 12, 13, 14, 15, 16, 17, 18', 'gone = 1');
      await change('hard_b', '11', 'gone = true');
      const { code, json } = await made.tidemark.run('sync', 'shop', '--json');
      const stopped = streamOf(json?.streams, 'hard_1');
      expect({ code, status: stopped.status, error: stopped.error?.code }).toEqual({ code: 1, status: 'parked', error: 'target.deletes_above_cap' });
      expect(streamOf(json?.streams, 'hard_b')).toMatchObject({ status: 'completed', deleted: 1 });
      expect(await count('hard_1')).toBe(String(ROWS - 1));
      const id = /tidemark approve (\d+)/.exec(stopped.error?.hint ?? '')?.[1];
      await made.target.query(`UPDATE tidemark.approval SET state = 'approved' WHERE id = ${id}`);
      const streams = await made.tidemark.syncAll('--stream', 'hard_1');
      expect(streamOf(streams, 'hard_1')).toMatchObject({ status: 'completed', deleted: 8 });
      expect([await count('hard_1'), await made.target.value(`SELECT state FROM tidemark.approval WHERE id = ${id}`)]).toEqual([String(ROWS - 9), 'done']);
      expect(await balanced()).toBe('true');
    });

    test('a full refresh keeps soft-deleted rows, those that the source has lost too', async () => {
      await made.source.query('DELETE FROM soft_y WHERE id IN (2, 3)');
      const streams = await made.tidemark.syncAll('--stream', 'soft_y', '--full');
      expect(streamOf(streams, 'soft_y').status).toBe('completed');
      expect([await count('soft_y'), await count('soft_y', 'id IN (2, 3) AND _tidemark_deleted_at IS NOT NULL'), await count('soft_y', '_tidemark_deleted_at IS NOT NULL')]).toEqual([String(ROWS + 3), '2', '5']);
    });
  });
});
