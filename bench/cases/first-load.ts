import type { BenchCase, Contest } from '../bench-case.ts';
import { COLUMN_NAMES, contentOf, createTable, KEY, ROWS_AT_SCALE_1, sharedLineitem } from '../lineitem.ts';
import { loadContest } from '../load-contest.ts';
import type { Bench } from '../servers.ts';
import { pipe } from '../shell.ts';
import { sourceFile } from '../source-file.ts';
import type { PostgresDatabase } from '../../test/support/postgres.ts';

const READ = `COPY (SELECT ${COLUMN_NAMES} FROM lineitem) TO STDOUT (FORMAT binary)`;
const WRITE = `COPY lineitem (${COLUMN_NAMES}) FROM STDIN (FORMAT binary)`;

interface Variant {
  /** Lines of YAML of the stream. */
  readonly stream: string;
  readonly keys: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly verifies: boolean;
}

async function prepare(bench: Bench, rows: number, variant: Variant): Promise<Contest> {
  const source = await sharedLineitem(bench, rows);
  const expected = await contentOf(source, 'lineitem');
  const counted = async (into: PostgresDatabase): Promise<string> => ((await into.value('SELECT count(*) FROM lineitem')) === String(rows) ? expected : 'another number of rows');
  return loadContest(bench, {
    async limit(newTarget, begin) {
      const into = await newTarget();
      await into.query(createTable('lineitem'));
      await into.query('CHECKPOINT');
      await begin();
      return pipe(`psql -Xq "$FROM" -c "$READ" | psql -Xq "$INTO" -c "$WRITE"; psql -Xq "$INTO" -c "ALTER TABLE lineitem ADD PRIMARY KEY (${KEY})"`, { FROM: source.url, INTO: into.url, READ, WRITE });
    },
    file: sourceFile({ kind: 'postgres', connection: source.connection, stream: `{ table: public.lineitem, target: public.lineitem, cursor: updated_at${variant.stream} }`, small: '{ table: public.small, target: public.small }', keys: variant.keys }),
    variables: { ...source.secrets, ...variant.variables },
    from: { from: source.url, schema: 'public', table: 'lineitem' },
    rows,
    contentOf: (into) => (variant.verifies ? contentOf(into, 'lineitem') : counted(into)),
    expected,
  });
}

export const firstLoad: BenchCase = {
  name: 'first-load',
  title: 'first load, PostgreSQL → PostgreSQL',
  limit: '`COPY` binary pipe, then `ADD PRIMARY KEY`',
  bound: { kind: 'ratio', most: 1.1 },
  rows: ROWS_AT_SCALE_1,
  prepare: (bench, rows) => prepare(bench, rows, { stream: '', keys: '', variables: {}, verifies: true }),
};

export const maskedLoad: BenchCase = {
  name: 'masked-load',
  title: 'the same with 2 columns masked by HMAC',
  limit: 'the same pipe',
  bound: { kind: 'ratio', most: 2.5 },
  rows: ROWS_AT_SCALE_1,
  prepare: (bench, rows) =>
    prepare(bench, rows, {
      stream: ', mask: { l_comment: { hmac: bench }, l_shipinstruct: { hmac: bench } }',
      keys: 'keys:\n  bench: { env: BENCH_MASK_KEY }\n',
      variables: { BENCH_MASK_KEY: Buffer.from(Array.from({ length: 32 }, (_, index) => (index * 37 + 11) % 256)).toString('base64') },
      verifies: false,
    }),
};
