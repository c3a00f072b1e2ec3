/** Values at the edges of each type through the whole pipeline, read back by psql and compared with what the source's own client prints. */
import { createDerby } from '../support/derby.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import { DERBY_RARE, MARIADB_RARE, POSTGRES_RARE } from '../support/rare-columns.ts';
import * as usual from '../support/typed-columns.ts';
import { byIj, byMariadb, byPsql, createSql, edgeRows, insertSql, POSTGRES_TYPES, sameNumbers, sourceList, targetList } from '../support/typed-columns.ts';
import type { TypedColumn } from '../support/typed-columns.ts';

const POSTGRES = [...usual.POSTGRES, ...POSTGRES_RARE];
const MARIADB = [...usual.MARIADB, ...MARIADB_RARE];
const DERBY = [...usual.DERBY, ...DERBY_RARE];

async function synced(kind: string, connection: string, secrets: Readonly<Record<string, string>>, rows: number): Promise<PostgresDatabase> {
  const target = await createDatabase('target');
  const file = `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - { id: types, kind: ${kind}, connection: ${connection}, streams: [{ table: kinds, target: types.kinds }] }\n`;
  const tidemark = await Tidemark.start(file, { ...secrets, DESTINATION_URL: target.url });
  await tidemark.apply();
  expect(streamOf(await tidemark.syncAll(), 'kinds')).toMatchObject({ status: 'completed', read: rows, written: rows, rejected: 0 });
  return target;
}

const arrived = (target: PostgresDatabase, columns: readonly TypedColumn[]) => byPsql(target, `SELECT ${targetList(columns).join(', ')} FROM types.kinds ORDER BY id`);

describeWith({ postgres: true, temporal: true }, 'types of PostgreSQL, to the target', () => {
  test('psql prints the same at both ends', async () => {
    const source = await createDatabase('types');
    const rows = edgeRows(POSTGRES);
    byPsql(source, [POSTGRES_TYPES, createSql('kinds', POSTGRES), ...insertSql('kinds', rows)].join(';\n'));
    const target = await synced('postgres', source.connection, source.secrets, rows.length);
    const before = byPsql(source, `SELECT ${sourceList(POSTGRES).join(', ')} FROM kinds ORDER BY id`);
    expect(before).toHaveLength(rows.length);
    expect(arrived(target, POSTGRES)).toEqual(before);
  });
});

describeWith({ mariadb: true, postgres: true, temporal: true }, 'types of MariaDB, to the target', () => {
  test('psql prints what the mariadb client prints', async () => {
    const source = await createMariadb('types');
    const rows = edgeRows(MARIADB);
    byMariadb(source, [createSql('kinds', MARIADB), ...insertSql('kinds', rows)].join(';\n'));
    const target = await synced('mysql', source.connection, source.secrets, rows.length);
    const before = byMariadb(source, `SELECT ${sourceList(MARIADB).join(', ')} FROM kinds ORDER BY id`);
    expect(before).toHaveLength(rows.length);
    expect(sameNumbers(MARIADB, arrived(target, MARIADB))).toEqual(sameNumbers(MARIADB, before));
  });
});

describeWith({ db2: true, postgres: true, temporal: true }, 'types of Derby, to the target', () => {
  test('psql prints what ij prints', async () => {
    const source = await createDerby('types');
    const rows = edgeRows(DERBY);
    for (const sql of [createSql('kinds', DERBY), ...insertSql('kinds', rows)]) await source.run(sql);
    const { host, port, user, password, database } = source.connection as Record<string, string>;
    const target = await synced('db2', `{ host: ${host}, port: ${port}, database: ${database}, user: ${user}, password: "\${DERBY_PASSWORD}", authentication: server }`, { DERBY_PASSWORD: password ?? '' }, rows.length);
    const before = await byIj(source, 'kinds', sourceList(DERBY));
    expect(before).toHaveLength(rows.length);
    expect(sameNumbers(DERBY, arrived(target, DERBY))).toEqual(sameNumbers(DERBY, before));
  });
});
