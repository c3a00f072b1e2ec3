import type { BenchCase } from '../bench-case.ts';
import { COLUMN_NAMES, createTable, KEY, mariadbLineitem, ROWS_AT_SCALE_1, sharedLineitem } from '../lineitem.ts';
import { dropDatabase, newDatabase } from '../servers.ts';
import { pipe } from '../shell.ts';
import { sourceFile } from '../source-file.ts';
import { TidemarkUnderTest } from '../tidemark-under-test.ts';

/** A hash of the rows that does not depend on how the two products pad characters and type times. */
export const PORTABLE_CONTENT = `SELECT count(*) || ' rows, ' || sum(hashtextextended(concat_ws('|', l_orderkey, l_linenumber, l_partkey, l_suppkey, l_quantity, l_extendedprice, l_discount, l_tax, rtrim(l_returnflag), l_shipdate, l_commitdate,
  l_receiptdate, rtrim(l_shipinstruct), rtrim(l_shipmode), l_comment, extract(epoch FROM updated_at)), 0)) FROM lineitem`;

export const mariadbLoad: BenchCase = {
  name: 'mariadb-load',
  title: 'first load, MariaDB → PostgreSQL',
  limit: '`mariadb --quick | psql COPY`, then `ADD PRIMARY KEY`',
  bound: { kind: 'ratio', most: 1.2 },
  rows: ROWS_AT_SCALE_1,
  async prepare(bench, rows) {
    const [generated, source, destination] = [await sharedLineitem(bench, rows), await mariadbLineitem(bench, rows), await bench.destination()];
    const expected = await generated.value(PORTABLE_CONTENT);
    let content = expected;
    const { host, port, user, password } = source.server;
    return {
      async limit() {
        const into = await newDatabase(destination, 'limit');
        await into.query(createTable('lineitem'));
        await into.query('CHECKPOINT');
        const seconds = await pipe(
          `mariadb --no-defaults --quick -N -B -h ${host} -P ${port} -u ${user} ${source.name} -e "SELECT ${COLUMN_NAMES} FROM lineitem" | psql -Xq "$INTO" -c "COPY lineitem (${COLUMN_NAMES}) FROM STDIN"; psql -Xq "$INTO" -c "ALTER TABLE lineitem ADD PRIMARY KEY (${KEY})"`,
          { INTO: into.url, MYSQL_PWD: password, PGTZ: 'UTC' },
        );
        await dropDatabase(into);
        return seconds;
      },
      async tidemark() {
        const into = await newDatabase(destination, 'tidemark');
        const file = sourceFile({ kind: 'mysql', connection: source.connection, stream: '{ table: lineitem, target: public.lineitem, cursor: updated_at }' });
        const tidemark = await TidemarkUnderTest.start(file, { ...source.secrets, DESTINATION_URL: into.url });
        await into.query('CHECKPOINT');
        const measured = await tidemark.measure('sync', '--all');
        await tidemark.stop();
        content = await into.value(PORTABLE_CONTENT);
        await dropDatabase(into);
        return measured;
      },
      async peer(peer) {
        const into = await newDatabase(destination, 'peer');
        const seconds = await peer.load({ from: `mysql://${user}:${password}@${host}:${port}/${source.name}`, schema: source.name, table: 'lineitem', into: into.url });
        const loaded = await into.value('SELECT count(*) FROM peer.lineitem');
        if (loaded !== String(rows)) throw new Error(`${peer.name} loaded ${loaded} of ${rows} rows`);
        await dropDatabase(into);
        return seconds;
      },
      async verify() {
        if (content !== expected) throw new Error(`the target has ${content}, the source has ${expected}`);
      },
      async close() {
        // Each round drops its own databases; the source's table is shared.
      },
    };
  },
};
