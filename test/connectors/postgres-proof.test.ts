/** The watermark's protections one by one: with one taken away the source and the target differ. And all of them under random writers. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Position } from '../../schemas/position.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { enlarge, MiniEngine } from './postgres-engine.ts';

let server: PrivatePostgres;
let database: PostgresDatabase;

type Json = Record<string, unknown>;

/** The position as it would be without a protection. */
function without(position: Position | null, change: (mark: Json) => Json): Position {
  if (position === null) throw new Error('no position');
  return { ...position, state: { ...position.state, mark: change(position.state.mark as Json) } };
}

async function largeTable(name: string): Promise<void> {
  await database.query(`CREATE TABLE ${name} (id bigint PRIMARY KEY, at timestamptz, note text); CREATE INDEX ON ${name} (at)`);
  await enlarge(database, name);
}

describeWith({ postgres: true }, 'PostgreSQL watermark, its protections', () => {
  beforeAll(async () => {
    server = await PrivatePostgres.quiet();
    database = await server.createDatabase('proof');
  });

  test('a quiet large table is not looked through, and without the note of an open transaction a late row is lost', async () => {
    await largeTable('late');
    await database.query(`INSERT INTO late SELECT n, timestamptz '2026-01-01' + n * interval '1 h', 'x' FROM generate_series(1, 5) n`);
    const client = await database.client();
    await client.query(`BEGIN; INSERT INTO late VALUES (9, '2026-01-01', 'late')`);
    const engine = await MiniEngine.for(database, 'late', 'at');
    await engine.run();
    await client.query('COMMIT');
    const kept = engine.position;
    engine.position = without(kept, (mark) => ({ ...mark, open: false }));
    await engine.run();
    expect(engine.target.size).toBe(5);
    engine.position = kept;
    await engine.settle();
    expect(engine.target.size).toBe(6);
  });

  test('a row below the bound on a large table is found when the next look is due, and rows that were read are not read again', async () => {
    await largeTable('due');
    await database.query(`INSERT INTO due SELECT n, timestamptz '2026-01-01' + n * interval '1 h', 'x' FROM generate_series(1, 5) n`);
    const engine = await MiniEngine.for(database, 'due', 'at', { rowsMax: 100 });
    await engine.run();
    for (let run = 0; run < 20; run += 1) {
      await database.query(`INSERT INTO due VALUES (${100 + run}, timestamptz '2026-02-01' + ${run} * interval '1 h', 'new'), (${200 + run}, timestamptz '2025-01-01' + ${run} * interval '1 h', 'skewed')`);
      expect((await engine.run()).read).toBe(1);
    }
    engine.position = without(engine.position, (mark) => ({ ...mark, scanned: { ...(mark.scanned as Json), at: '0' } }));
    expect(await engine.poll()).toBe(true);
    // All that was passed over; of what was read only rows that the merged windows can't tell apart.
    const { read } = await engine.run();
    expect(read).toBeGreaterThanOrEqual(20);
    expect(read).toBeLessThan(30);
    await engine.expectEqual();
    expect((await engine.run()).read).toBe(0);
  });

  test('without the inclusive bound a row with the cursor of the watermark is lost', async () => {
    await largeTable('same');
    await database.query(`INSERT INTO same VALUES (1, '2026-01-01', 'x')`);
    const engine = await MiniEngine.for(database, 'same', 'at', { overlapSeconds: 0 });
    await engine.run();
    await database.query(`INSERT INTO same VALUES (2, '2026-01-01', 'y')`);
    const kept = engine.position;
    engine.position = without(kept, (mark) => ({ ...mark, low: '2026-01-01 00:00:00.000001+00' }));
    await engine.run();
    expect(engine.target.size).toBe(1);
    engine.position = kept;
    await engine.settle();
  });

  test('a crash that takes transaction ids back loses no row', async () => {
    await database.query(`CREATE TABLE crash (id bigint PRIMARY KEY, at timestamptz, note text); INSERT INTO crash VALUES (1, now(), 'x')`);
    const engine = await MiniEngine.for(database, 'crash', 'at');
    // Commits are not flushed here: some of these ids are given out again after the crash, below the position's snapshot.
    await database.query('CHECKPOINT');
    for (let n = 0; n < 50; n += 1) await database.query(`UPDATE crash SET note = '${n}' WHERE id = 1`);
    await engine.run();
    await engine.session.close();
    await server.kill();
    await server.restart();
    await database.query(`INSERT INTO crash VALUES (2, now(), 'after')`);
    const after = await MiniEngine.for(database, 'crash', 'at');
    after.position = engine.position;
    try {
      await after.run();
      expect(after.target.has('2')).toBe(true);
    } catch (error) {
      // The other honest answer: the log that was read is gone.
      expect(error).toMatchObject({ code: 'source.history_lost' });
    }
    await after.session.close();
  });

  test.each([1, 2, 3])('random writers while batches are read, seed %i', async (seed) => {
    const name = `bank_${seed}`;
    await largeTable(name);
    if (seed === 2) await database.query(`TRUNCATE ${name}`);
    const random = generator(seed);
    const writers = await Promise.all([1, 2, 3].map(() => database.client()));
    const engine = await MiniEngine.for(database, name, 'at', { rowsMax: 7, overlapSeconds: 0 });
    let writing = true;
    const reading = (async () => {
      if (seed === 3) await engine.build();
      while (writing) if (engine.position === null || (await engine.poll())) await engine.run();
    })();
    await Promise.all(writers.map((writer, i) => write(writer, name, i, random)));
    writing = false;
    await reading;
    await engine.settle();
    expect(engine.target.size).toBeGreaterThan(50);
    expect(await engine.poll()).toBe(false);
    await engine.session.close();
  });
});

/** Transactions of different lengths, with savepoints and rollbacks, whose rows have the time of their beginning. */
async function write(client: pg.Client, table: string, writer: number, random: () => number): Promise<void> {
  const pause = (): Promise<void> => sleep(random() * 15);
  for (let i = 0; i < 60; i += 1) {
    await client.query('BEGIN');
    if (random() < 0.5) await client.query('SELECT now()');
    await pause();
    for (let n = 0; n < 1 + random() * 4; n += 1) {
      const id = writer * 100_000 + Math.floor(random() * 150);
      if (random() < 0.3) await client.query('SAVEPOINT s');
      const at = random() < 0.1 ? 'NULL' : random() < 0.1 ? "'infinity'" : 'now()';
      await client.query(`INSERT INTO ${table} VALUES (${id}, ${at}, 'w${i}') ON CONFLICT (id) DO UPDATE SET at = EXCLUDED.at, note = EXCLUDED.note`);
      if (random() < 0.1) await client.query('SAVEPOINT r; ROLLBACK TO r');
      await pause();
    }
    await client.query(random() < 0.15 ? 'ROLLBACK' : 'COMMIT');
  }
}

/** Numbers from 0 to 1 that a seed repeats (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
