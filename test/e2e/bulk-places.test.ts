/** First loads, builds and backfills may take a worker's time, but not the places that live syncs need. */
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { Tidemark, streamOf } from '../support/tidemark.ts';

/** With four streams each, as many copies as a worker has places for live syncs. */
const LOADED = ['one', 'two', 'three'];
const STREAMS = ['a', 'b', 'c', 'd'];
/** How many a worker takes of them depends on its load. */
const COPIES_AT_LEAST = 3;

describeWith({ postgres: true, temporal: true }, 'bulk copies', () => {
  let source: PostgresDatabase;
  let target: PostgresDatabase;
  let tidemark: Tidemark;

  const loaded = (id: string) => `  - id: ${id}\n    kind: postgres\n    connection: ${source.connection}\n    streams: [${STREAMS.map((name) => `{ table: public.${id}_${name}, target: load.${id}_${name} }`).join(', ')}]\n`;

  beforeAll(async () => {
    [source, target] = [await createDatabase('source'), await createDatabase('target')];
    await source.query('CREATE TABLE base (id int PRIMARY KEY); INSERT INTO base SELECT generate_series(1, 200); CREATE TABLE live (id int PRIMARY KEY, at timestamptz DEFAULT now()); INSERT INTO live VALUES (1)');
    for (const id of LOADED) for (const name of STREAMS) await source.query(`CREATE VIEW ${id}_${name} AS SELECT * FROM base`);
    const live = `  - id: live\n    kind: postgres\n    connection: ${source.connection}\n    streams: [{ table: public.live, target: load.live, cursor: at }]\n`;
    tidemark = await Tidemark.start(`destination: { url: "\${DESTINATION_URL}" }\ndefaults: { poll_interval: 365d }\nsources:\n${LOADED.map(loaded).join('')}${live}`, { ...source.secrets, DESTINATION_URL: target.url });
    await tidemark.apply();
    await tidemark.must('sync', 'live', '--json');
  });

  test('that fill a worker do not hold up a live sync', async () => {
    const holder = await source.client();
    await holder.query('BEGIN; LOCK TABLE base IN ACCESS EXCLUSIVE MODE');
    const loads = LOADED.map((id) => tidemark.begin('sync', id, '--json'));
    const waiting = async () => (await source.query("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'COPY%'")).map(({ pid }) => pid);
    const copies = await waitFor('copies that wait for the table', async () => {
      const begun = Number(await target.value("SELECT count(*) FROM tidemark.generation WHERE state = 'building'"));
      const pids = await waiting();
      return begun === LOADED.length * STREAMS.length && pids.length >= COPIES_AT_LEAST ? pids : null;
    });

    await source.query('INSERT INTO live VALUES (2)');
    const { streams } = await tidemark.must('sync', 'live', '--json');
    expect(streamOf(streams, 'public.live')).toMatchObject({ status: 'completed', written: 1 });
    // None of them made room by giving up.
    expect(await waiting()).toEqual(expect.arrayContaining(copies));

    await holder.query('ROLLBACK');
    for (const load of loads) expect((await load.result).code).toBe(0);
    expect(await target.value('SELECT count(*) FROM load.three_d')).toBe('200');
  });
});
