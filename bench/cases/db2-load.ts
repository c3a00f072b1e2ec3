import type { BenchCase } from '../bench-case.ts';
import { bareFetch, derbyLineitem, exactExpression } from '../derby-lineitem.ts';
import { COLUMNS, sharedLineitem } from '../lineitem.ts';
import { dropDatabase, newDatabase } from '../servers.ts';
import { timed } from '../shell.ts';
import { sourceFile } from '../source-file.ts';
import { TidemarkUnderTest } from '../tidemark-under-test.ts';
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
    const [generated, source, destination] = [await sharedLineitem(bench, rows), await derbyLineitem(bench, rows), await bench.destination()];
    const expected = await generated.value(PORTABLE_CONTENT);
    let content = expected;
    return {
      async limit() {
        let fetched = 0;
        const seconds = await timed(async () => void (fetched = await bareFetch(source, 'lineitem', EXPRESSIONS)));
        if (fetched !== rows) throw new Error(`the bare loop fetched ${fetched} of ${rows} rows`);
        return seconds;
      },
      async tidemark() {
        const into = await newDatabase(destination, 'tidemark');
        const { password, ...connection } = source.connection;
        const file = sourceFile({ kind: 'db2', connection: JSON.stringify({ ...connection, password: '${DERBY_PASSWORD}' }), stream: '{ table: LINEITEM, target: public.lineitem, cursor: UPDATED_AT }' });
        const tidemark = await TidemarkUnderTest.start(file, { DERBY_PASSWORD: String(password), DESTINATION_URL: into.url });
        await into.query('CHECKPOINT');
        const measured = await tidemark.measure('sync', '--all');
        await tidemark.stop();
        content = await into.value(PORTABLE_CONTENT);
        await dropDatabase(into);
        return measured;
      },
      async verify() {
        if (content !== expected) throw new Error(`the target has ${content}, the source has ${expected}`);
      },
      async close() {
        // Each round drops its own database; the source's table is shared.
      },
    };
  },
};
