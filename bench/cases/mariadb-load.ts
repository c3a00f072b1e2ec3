import type { BenchCase } from '../bench-case.ts';
import { COLUMN_NAMES, createTable, KEY, mariadbLineitem, ROWS_AT_SCALE_1, sharedLineitem } from '../lineitem.ts';
import { loadContest } from '../load-contest.ts';
import { pipe } from '../shell.ts';
import { sourceFile } from '../source-file.ts';

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
    const [generated, source] = [await sharedLineitem(bench, rows), await mariadbLineitem(bench, rows)];
    const { host, port, user, password } = source.server;
    return loadContest(bench, {
      async limit(newTarget, begin) {
        const into = await newTarget();
        await into.query(createTable('lineitem'));
        await into.query('CHECKPOINT');
        await begin();
        return pipe(
          `mariadb --no-defaults --quick -N -B -h ${host} -P ${port} -u ${user} ${source.name} -e "SELECT ${COLUMN_NAMES} FROM lineitem" | psql -Xq "$INTO" -c "COPY lineitem (${COLUMN_NAMES}) FROM STDIN"; psql -Xq "$INTO" -c "ALTER TABLE lineitem ADD PRIMARY KEY (${KEY})"`,
          { INTO: into.url, MYSQL_PWD: password, PGTZ: 'UTC' },
        );
      },
      file: sourceFile({ kind: 'mysql', connection: source.connection, stream: '{ table: lineitem, target: public.lineitem, cursor: updated_at }', small: '{ table: small, target: public.small }' }),
      variables: source.secrets,
      from: { from: `mysql://${user}:${password}@${host}:${port}/${source.name}`, schema: source.name, table: 'lineitem' },
      rows,
      contentOf: (into) => into.value(PORTABLE_CONTENT),
      expected: await generated.value(PORTABLE_CONTENT),
    });
  },
};
