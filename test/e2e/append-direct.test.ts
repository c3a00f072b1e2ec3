/** Rows of an append that are new go straight into the target; a row that is known, or a target that acts on its rows, takes the way through the stage. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';
import type { StreamResult } from '../support/tidemark.ts';

const configuration = (source: PostgresDatabase) => `
destination: { url: "\${DESTINATION_URL}" }
defaults: { poll_interval: 365d }
sources:
  - id: shop
    kind: postgres
    connection: ${source.connection}
    streams:
      - { table: events, mode: append, cursor: id }
`;

describeWith({ postgres: true, temporal: true }, 'append of new rows', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  beforeAll(async () => {
    [source, target] = [await createDatabase('shop'), await createDatabase('target')];
    await source.query(`
      CREATE TABLE events (id bigint PRIMARY KEY, v text);
      INSERT INTO events SELECT n, 'e' || n FROM generate_series(1, 50) n`);
    tidemark = await Tidemark.start(configuration(source), { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.syncAll();
    // What the catch-up after the first load left.
    await target.query(`DO $$ DECLARE t text; BEGIN FOR t IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'tidemark_stage' LOOP EXECUTE 'DROP TABLE ' || t; END LOOP; END $$`);
  });

  const sync = async (): Promise<StreamResult> => streamOf(await tidemark.syncAll(), 'events');
  const staged = () => target.value(`SELECT count(*) FROM pg_tables WHERE schemaname = 'tidemark_stage'`);
  const rows = () => target.value('SELECT count(*) FROM shop.events');

  test('new rows need no stage, and each names its batch in the ledger', async () => {
    await source.query(`INSERT INTO events SELECT n, E'tab\\t and line\\n' || n FROM generate_series(51, 250) n`);
    expect(await sync()).toMatchObject({ status: 'completed', read: 200, written: 200, unchanged: 0, batches: 1 });
    expect([await staged(), await rows()]).toEqual(['0', '250']);
    expect(await target.query(`SELECT l.read, l.written, l.kind, count(*) AS rows FROM tidemark.ledger l JOIN shop.events e ON e._tidemark_batch = l.batch WHERE e.id > 50 GROUP BY l.batch, l.read, l.written, l.kind`)).toEqual([
      { read: '200', written: '200', kind: 'range', rows: '200' },
    ]);
    expect(await target.value(`SELECT string_agg(v, ',' ORDER BY id) FROM shop.events WHERE id IN (1, 51)`)).toBe('e1,tab\t and line\n51');
    expect(await sync()).toMatchObject({ status: 'completed', read: 0 });
  });

  test('a person who inserts a row has no batch', async () => {
    await target.query(`INSERT INTO shop.events (id, v) VALUES (255, 'by hand')`);
    expect(await target.value('SELECT _tidemark_batch IS NULL FROM shop.events WHERE id = 255')).toBe('t');
  });

  test('a row that the target knows is unchanged, and its neighbours arrive', async () => {
    await source.query(`INSERT INTO events SELECT n, 'e' || n FROM generate_series(251, 260) n`);
    expect(await sync()).toMatchObject({ status: 'completed', read: 10, written: 9, unchanged: 1, rejected: 0 });
    expect([await staged(), await rows()]).toEqual(['1', '260']);
    expect(await target.value('SELECT v FROM shop.events WHERE id = 255')).toBe('by hand');
    expect(await target.value(`SELECT count(*) FROM tidemark.ledger WHERE kind = 'range' AND read > 0`)).toBe('2');
  });

  test('a target with a trigger of its own keeps the way through the stage', async () => {
    await target.query(`
      DELETE FROM tidemark.ledger WHERE written <> read; DROP TABLE tidemark_stage.${await target.value(`SELECT tablename FROM pg_tables WHERE schemaname = 'tidemark_stage'`)};
      CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE WHEN NEW.id = 262 THEN NULL ELSE NEW END; END';
      CREATE TRIGGER swallow BEFORE INSERT ON shop.events FOR EACH ROW EXECUTE FUNCTION swallow()`);
    await source.query(`INSERT INTO events SELECT n, 'e' || n FROM generate_series(261, 265) n`);
    expect(await sync()).toMatchObject({ status: 'completed', read: 5 });
    expect([await staged(), await rows()]).toEqual(['1', '264']);
  });
});
