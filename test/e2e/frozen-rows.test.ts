/** Rows that are copied into a table of their own are written as frozen: who reads them first, and VACUUM, need not write their pages again. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { Tidemark } from '../support/tidemark.ts';

const ROWS = 20_000;

describeWith({ postgres: true, temporal: true }, 'rows of a first load', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;
  /** Pages whose rows are all frozen, and all pages. */
  const frozen = async (table: string) => {
    const [row] = await target.query('SELECT count(*) FILTER (WHERE all_frozen) AS frozen, count(*) AS pages FROM pg_visibility_map($1)', [table]);
    return { frozen: Number(row!['frozen']), pages: Number(row!['pages']) };
  };

  beforeAll(async () => {
    [source, target] = [await createDatabase('source'), await createDatabase('target')];
    await target.query('CREATE EXTENSION pg_visibility');
    for (const name of ['whole', 'parted', 'read']) await source.query(`CREATE TABLE ${name} AS SELECT id, 'x' || id AS v, now() AS at FROM generate_series(1, ${ROWS}) id; ALTER TABLE ${name} ADD PRIMARY KEY (id)`);
    // Of a view PostgreSQL does not tell how many rows it has.
    await source.query(`CREATE VIEW viewed AS SELECT id, 'x' || id AS v FROM generate_series(1, ${ROWS}) id`);
    const stream = (name: string, settings: string) => `      - { table: public.${name}, target: load.${name}, ${settings} }\n`;
    tidemark = await Tidemark.start(
      `destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n  - id: hq\n    kind: postgres\n    connection: ${source.connection}\n    streams:\n${stream('whole', 'cursor: at')}${stream('parted', `cursor: at, batch_rows: ${ROWS / 4}`)}${stream('read', 'cursor: at')}${stream('viewed', 'mode: replace')}`,
      { ...source.secrets, DESTINATION_URL: target.url },
    );
    await tidemark.apply();
  });

  test('are frozen where one part brings them all, and the source tells that they are not too many', async () => {
    for (const name of ['whole', 'parted', 'viewed']) await tidemark.must('sync', 'hq', '--stream', `public.${name}`, '--json');
    const { frozen: pages, pages: all } = await frozen('load.whole');
    expect(all).toBeGreaterThan(100);
    expect(pages).toBe(all);
    for (const name of ['parted', 'viewed']) {
      expect(await target.value(`SELECT count(*) FROM load.${name}`)).toBe(String(ROWS));
      expect((await frozen(`load.${name}`)).frozen).toBe(0);
    }
  });

  test('are copied all the same while somebody reads the table', async () => {
    const [holder, reader] = [await target.client(), await target.client()];
    await holder.query('BEGIN; LOCK TABLE tidemark.batch IN SHARE MODE');
    const running = tidemark.begin('sync', 'hq', '--stream', 'public.read', '--json');
    const table = await waitFor('the generation', () => target.value(`SELECT format('%I.%I', table_schema, table_name) FROM tidemark.generation WHERE stream = 'public.read'`));
    await reader.query(`BEGIN; LOCK TABLE ${table} IN ACCESS SHARE MODE`);
    await holder.query('ROLLBACK');
    await waitFor('the part', () => target.value("SELECT done_at FROM tidemark.range WHERE stream = 'public.read' AND done_at IS NOT NULL"));
    await reader.query('ROLLBACK');
    expect((await running.result).code).toBe(0);
    expect(await target.value('SELECT count(*) FROM load.read')).toBe(String(ROWS));
    expect((await frozen('load.read')).frozen).toBe(0);
  });
});
