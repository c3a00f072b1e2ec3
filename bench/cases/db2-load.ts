import type { BenchCase } from '../bench-case.ts';
import { bareFetch, derbyLineitem, exactExpression } from '../derby-lineitem.ts';
import { COLUMNS, sharedLineitem } from '../lineitem.ts';
import { loadContest } from '../load-contest.ts';
import { timed } from '../shell.ts';
import { sourceFile } from '../source-file.ts';
import { PORTABLE_CONTENT } from './mariadb-load.ts';

const ROWS = 500_000;
const EXPRESSIONS = [...COLUMNS, ['updated_at', 'timestamp'] as const].map(([name, type]) => exactExpression(name, type));

export const db2Load: BenchCase = {
  name: 'db2-load',
  title: 'first load, Db2 (Derby) → PostgreSQL',
  limit: 'a bare `ibm_db` block fetch of the same values that drops the rows',
  bound: { kind: 'ratio', most: 1.3 },
  rows: ROWS,
  async prepare(bench, rows) {
    const [generated, source] = [await sharedLineitem(bench, rows), await derbyLineitem(bench, rows)];
    const { password, ...connection } = source.connection;
    return loadContest(bench, {
      async limit(_newTarget, begin) {
        await begin();
        let fetched = 0;
        const seconds = await timed(async () => void (fetched = await bareFetch(source, 'lineitem', EXPRESSIONS)));
        if (fetched !== rows) throw new Error(`the bare loop fetched ${fetched} of ${rows} rows`);
        return seconds;
      },
      file: sourceFile({ kind: 'db2', connection: JSON.stringify({ ...connection, password: '${DERBY_PASSWORD}' }), stream: '{ table: LINEITEM, target: public.lineitem, cursor: UPDATED_AT }', small: '{ table: SMALL, target: public.small }' }),
      variables: { DERBY_PASSWORD: String(password) },
      rows,
      contentOf: (into) => into.value(PORTABLE_CONTENT),
      expected: await generated.value(PORTABLE_CONTENT),
    });
  },
};
