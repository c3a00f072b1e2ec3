import type { BenchCase, Contest } from '../bench-case.ts';
import { COLUMN_NAMES, contentOf, createTable, KEY, ROWS_AT_SCALE_1, sharedLineitem } from '../lineitem.ts';
import { dropDatabase, newDatabase, type Bench } from '../servers.ts';
import { pipe } from '../shell.ts';
import { sourceFile } from '../source-file.ts';
import { TidemarkUnderTest } from '../tidemark-under-test.ts';

const READ = `COPY (SELECT ${COLUMN_NAMES} FROM lineitem) TO STDOUT (FORMAT binary)`;
const WRITE = `COPY lineitem (${COLUMN_NAMES}) FROM STDIN (FORMAT binary)`;

interface Variant {
  /** Lines of YAML of the stream. */
  readonly stream: string;
  readonly keys: string;
  readonly variables: Readonly<Record<string, string>>;
  readonly verifies: boolean;
}

/** Both sides load into a database of their own that was made for this one round. */
async function prepare(bench: Bench, rows: number, variant: Variant): Promise<Contest> {
  const source = await sharedLineitem(bench, rows);
  const destination = await bench.destination();
  const expected = await contentOf(source, 'lineitem');
  let content = expected;
  return {
    async limit() {
      const into = await newDatabase(destination, 'limit');
      await into.query(createTable('lineitem'));
      await into.query('CHECKPOINT');
      const seconds = await pipe(`psql -Xq "$FROM" -c "$READ" | psql -Xq "$INTO" -c "$WRITE"; psql -Xq "$INTO" -c "ALTER TABLE lineitem ADD PRIMARY KEY (${KEY})"`, { FROM: source.url, INTO: into.url, READ, WRITE });
      await dropDatabase(into);
      return seconds;
    },
    async tidemark() {
      const into = await newDatabase(destination, 'tidemark');
      const file = sourceFile({ kind: 'postgres', connection: source.connection, stream: `{ table: public.lineitem, target: public.lineitem, cursor: updated_at${variant.stream} }`, keys: variant.keys });
      const tidemark = await TidemarkUnderTest.start(file, { ...source.secrets, ...variant.variables, DESTINATION_URL: into.url });
      await into.query('CHECKPOINT');
      const measured = await tidemark.measure('sync', '--all');
      await tidemark.stop();
      if (variant.verifies) content = await contentOf(into, 'lineitem');
      else content = (await into.value('SELECT count(*) FROM lineitem')) === String(rows) ? expected : 'another number of rows';
      await dropDatabase(into);
      return measured;
    },
    async peer(peer) {
      const into = await newDatabase(destination, 'peer');
      const seconds = await peer.load({ from: source.url, schema: 'public', table: 'lineitem', into: into.url });
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
