/** A crash in the middle of what deletes and of what a person has approved: called again, it is as if it had run once. */
import { decideStep } from '../../control/approvals.ts';
import { onFaultPoint } from '../../pipeline/fault-point.ts';
import { applyRetention } from '../../pipeline/retention.ts';
import { describeWith } from '../support/describe-with.ts';
import { Crash, noFaults } from './fault-hook.ts';
import { OneStream, ROWS, SOURCE, TABLE } from './one-stream.ts';

afterEach(noFaults);

/** Crashes when `place` of the destination's changes is reached for the times of `at`, counted from 1. */
function crashAtPlace(place: string, at: readonly number[]): () => number {
  let reached = 0;
  onFaultPoint(async (phase, where) => {
    if (phase === 'PD' && where === place && at.includes(++reached)) throw new Crash('PD');
  });
  return () => reached;
}

describeWith({ postgres: true }, 'planned destruction and crashes', () => {
  test('retention: each transaction deletes a bounded number of rows and records them, and none is recorded twice', async () => {
    const stream = await OneStream.create({ product: 'postgres' });
    await stream.source.query(`INSERT INTO ${TABLE} SELECT n, 'old', timestamptz '2010-01-01Z' + n * interval '1 s' FROM generate_series(1000, 13999) n`);
    await stream.sync();
    await stream.target.query(`UPDATE tidemark.stream SET settings = settings || '{"retention": {"column": "at", "keep": "7 years"}}'`);
    await stream.prepare();
    const reached = crashAtPlace('retention', [2, 4]);
    const pass = (runId: string) => applyRetention(stream.engine, SOURCE, TABLE, runId, new AbortController().signal);
    await expect(pass('r1')).rejects.toThrow();
    expect(await stream.target.value(`SELECT count(*) FROM ${SOURCE}.${TABLE}`)).toBe(String(ROWS + 8_000));
    await expect(pass('r2')).rejects.toThrow();
    await pass('r3');
    expect(reached()).toBeGreaterThan(4);
    expect(await stream.target.value(`SELECT count(*) FROM ${SOURCE}.${TABLE}`)).toBe(String(ROWS));
    expect(await stream.target.query('SELECT sum(rows) AS rows, max(rows) AS most FROM tidemark.retention')).toEqual([{ rows: '13000', most: '5000' }]);
    expect(await stream.target.value("SELECT sum((data->>'rows')::int) FROM tidemark.event WHERE type = 'RetentionApplied'")).toBe('13000');
    expect(await pass('r4')).toBe(0);
  });

  test('an approved swap: the very build that was approved takes the target’s place, once', async () => {
    const stream = await OneStream.create({ product: 'postgres' });
    await stream.sync();
    await stream.source.query(`DELETE FROM ${TABLE} WHERE id > 30`);
    stream.runId = 'full';
    await expect(stream.sync(true)).rejects.toMatchObject({ code: 'target.shrinks' });
    expect(await stream.target.value(`SELECT count(*) FROM ${SOURCE}.${TABLE}`)).toBe(String(ROWS));
    const generation = await stream.target.value("SELECT generation FROM tidemark.generation WHERE state = 'building'");
    const id = await stream.target.value("SELECT id FROM tidemark.approval WHERE state = 'pending'");
    await decideStep(stream.engine.destination, String(id), 'approved');
    stream.runId = 'approved';
    const reached = crashAtPlace('swap', [1, 2]);
    await stream.sync();
    expect(reached()).toBe(3);
    expect(await stream.differences()).toEqual([]);
    expect(await stream.target.query("SELECT generation::text, state FROM tidemark.generation WHERE state IN ('current', 'building')")).toEqual([{ generation, state: 'current' }]);
    expect(await stream.target.query('SELECT state FROM tidemark.approval')).toEqual([{ state: 'done' }]);
  });
});
