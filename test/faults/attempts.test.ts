/** Attempts that overlap: one that wakes up after its successor, two at the same instant, one that waits for another's locks. */
import { beginStream, endStream, ensureStream, listStreamResults } from '../../destinations/postgres/runs.ts';
import { finishBuild, keyBuild } from '../../pipeline/build.ts';
import { describeWith } from '../support/describe-with.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { holdAt, noFaults } from './fault-hook.ts';
import { OneStream, ROWS, SOURCE, TABLE } from './one-stream.ts';

afterEach(noFaults);

const fulfilled = (results: readonly PromiseSettledResult<unknown>[]) => results.filter(({ status }) => status === 'fulfilled').length;

const fenced = expect.objectContaining({ code: 'batch.fenced' });

describeWith({ postgres: true, mariadb: true }, 'attempts that overlap', () => {
  let stream: OneStream;
  let generation: number;
  let runs = 0;

  beforeAll(async () => {
    stream = await OneStream.create({ product: 'postgres' });
    await stream.sync();
  });

  /** Ten rows wait at the source for the next batch. */
  beforeEach(async () => {
    stream.runId = `overlap-${++runs}`;
    await stream.change(1, 10, `round ${runs}`);
    generation = (await stream.prepare()).generation;
  });

  async function endsWell(): Promise<void> {
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
  }

  test('a full refresh that goes on in another execution goes on with its build, and with increments once that is swapped in', async () => {
    const begun = await stream.prepare(true);
    if (begun.action !== 'build') throw new Error('no build was begun');
    await stream.copy(stream.nextStep(begun.generation), begun.parts[0]!);
    const next = await stream.prepare(false, true);
    expect(next).toMatchObject({ action: 'build', generation: begun.generation, parts: begun.parts.slice(1) });
    for (const part of begun.parts.slice(1)) await stream.copy(stream.nextStep(begun.generation), part);
    await keyBuild(stream.engine, SOURCE, TABLE, begun.generation);
    await finishBuild(stream.engine, SOURCE, TABLE, begun.generation);
    expect(await stream.prepare(false, true)).toMatchObject({ action: 'increment', generation: begun.generation });
  });

  test('a zombie that wakes up before its stage commits nothing', async () => {
    const step = stream.nextStep(generation);
    const held = holdAt('P1');
    const zombie = stream.extract(step);
    await held.reached;
    const successor = await stream.extract(step);
    const rejected = expect(zombie).rejects.toEqual(fenced);
    held.goOn();
    await rejected;
    await stream.load(successor.batch);
    expect(await stream.faults(10)).toEqual([]);
  });

  test('a zombie that wakes up after the whole batch was committed commits nothing, and the next batch is whole', async () => {
    const step = stream.nextStep(generation);
    const held = holdAt('P1');
    const zombie = stream.extract(step);
    await held.reached;
    await stream.load((await stream.extract(step)).batch);
    await stream.change(11, 20, 'afterwards');
    const next = await stream.extract(stream.nextStep(generation));
    const rejected = expect(zombie).rejects.toEqual(fenced);
    held.goOn();
    await rejected;
    await stream.load(next.batch);
    expect(await stream.faults(20)).toEqual([]);
  });

  test('attempts that begin when their run has ended change nothing and leave nothing', async () => {
    await writeRun(stream.target, stream.runId, 'now');
    await expect(stream.extract(stream.nextStep(generation))).rejects.toEqual(fenced);
    await expect(stream.engine.destination.session('beginning', (session) => beginStream(session, stream.runId, SOURCE, TABLE, `${SOURCE}.${TABLE}`, 'upsert'))).rejects.toEqual(fenced);
    expect(await stream.target.value(LEFT_BY, [stream.runId])).toBe('0');
  });

  test('a stream whose first step no worker finished is in the results of its run', async () => {
    await writeRun(stream.target, stream.runId, null);
    const error = { code: 'internal.unexpected', message: 'No worker finished the step in time.', hint: null } as const;
    const results = await stream.engine.destination.transaction('closing a stream', async (session) => {
      await ensureStream(session, stream.runId, SOURCE, TABLE);
      await endStream(session, { runId: stream.runId, source: SOURCE, stream: TABLE, status: 'parked', error, notes: [] });
      return listStreamResults(session, stream.runId);
    });
    expect(results).toMatchObject([{ stream: TABLE, target: `${SOURCE}.${TABLE}`, status: 'parked', mode: 'upsert', error }]);
  });

  test('an attempt that begins while its run is being ended waits for that, and leaves nothing', async () => {
    const ending = await stream.target.client();
    await writeRun(stream.target, stream.runId, null);
    await ending.query('BEGIN');
    await ending.query('UPDATE tidemark.run SET ended_at = clock_timestamp() WHERE run_id = $1', [stream.runId]);
    await ending.query('DELETE FROM tidemark.batch WHERE run_id = $1', [stream.runId]);
    const late = expect(stream.extract(stream.nextStep(generation))).rejects.toEqual(fenced);
    await waitFor('it to wait', async () => ((await stream.target.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")) === '1' ? true : null));
    await ending.query('COMMIT');
    await late;
    expect(await stream.target.value(LEFT_BY, [stream.runId])).toBe('0');
  });

  test.each(['P3', 'P5', 'P6'] as const)('the successor ends the session of a zombie that holds locks at %s', async (phase) => {
    const step = stream.nextStep(generation);
    const held = holdAt(phase);
    const first = phase === 'P3' ? null : await stream.extract(step);
    const zombie = first === null ? stream.extract(step) : stream.load(first.batch);
    await held.reached;
    const zombieEnds = expect(zombie).rejects.toMatchObject({ name: 'TidemarkError' });
    // With the zombie's locks still there this would end with target.locked.
    if (first === null) await stream.load((await stream.extract(step)).batch);
    else await stream.load(first.batch);
    expect(await stream.faults(10)).toEqual([]);
    held.goOn();
    await zombieEnds;
    expect(await stream.faults(10)).toEqual([]);
  });

  test('the successor of a zombie in the copy of a part ends its session', async () => {
    const other = await OneStream.create({ product: 'postgres' });
    const prepared = await other.prepare();
    if (prepared.action !== 'build') throw new Error('a first load builds');
    const part = prepared.parts[0]!;
    const step = other.nextStep(prepared.generation);
    const held = holdAt('P6');
    const zombie = other.copy(step, part);
    await held.reached;
    const zombieEnds = expect(zombie).rejects.toMatchObject({ name: 'TidemarkError' });
    await other.copy(step, part);
    held.goOn();
    await zombieEnds;
    await other.sync();
    expect(await other.faults(ROWS)).toEqual([]);
  });

  test('a watermark that moved since the extract: the load commits nothing, a new batch reads on from it', async () => {
    const staged = await stream.extract(stream.nextStep(generation));
    await stream.target.query('UPDATE tidemark.watermark SET version = version + 1');
    await expect(stream.load(staged.batch)).rejects.toEqual(fenced);
    expect(await stream.ledger()).toMatchObject({ batches: 0 });
    await endsWell();
  });

  test('a batch of another run that was committed meanwhile fences this one', async () => {
    const late = await stream.extract(stream.nextStep(generation));
    const runId = stream.runId;
    stream.runId = `${runId}-overtakes`;
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
    await expect(stream.load(late.batch)).rejects.toMatchObject({ code: expect.stringMatching(/^batch\.(fenced|stage_lost)$/) });
    stream.runId = runId;
    expect(await stream.ledger()).toMatchObject({ batches: 0 });
  });

  test('a stage that holds another batch is not taken for this one, equal in number as the rows may be', async () => {
    const first = await stream.extract(stream.nextStep(generation));
    await stream.change(1, 10, `round ${runs} again`);
    const second = await stream.extract(stream.nextStep(generation));
    expect(second.read).toBe(first.read);
    await expect(stream.load(first.batch)).rejects.toMatchObject({ code: 'batch.stage_lost' });
    await stream.load(second.batch);
    expect(await stream.faults(10)).toEqual([]);
  });

  test('two extracts of one step at once', async () => {
    const step = stream.nextStep(generation);
    await Promise.allSettled([stream.extract(step), stream.extract(step)]);
    const { batch } = await stream.extract(step);
    await stream.load(batch);
    expect(await stream.faults(10)).toEqual([]);
    expect(await stream.ledger()).toMatchObject({ batches: 1 });
  });

  test('four loads of one batch at once', async () => {
    const { batch } = await stream.extract(stream.nextStep(generation));
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => stream.load(batch)));
    expect(fulfilled(results)).toBeGreaterThan(0);
    expect(await stream.load(batch)).toMatchObject({ written: 10 });
    expect(await stream.faults(10)).toEqual([]);
    expect(await stream.ledger()).toMatchObject({ batches: 1 });
  });

  test('two workers build the key, swap and copy at once', async () => {
    const other = await OneStream.create({ product: 'postgres' });
    const prepared = await other.prepare();
    if (prepared.action !== 'build') throw new Error('a first load builds');
    for (const part of prepared.parts) {
      const step = other.nextStep(prepared.generation);
      await Promise.allSettled([other.copy(step, part), other.copy(step, part)]);
      await other.copy(step, part);
    }
    const both = (work: () => Promise<unknown>) => Promise.all([work(), work()]);
    const inTheWay = await other.target.client();
    const building = await other.target.value("SELECT format('%I.%I', table_schema, table_name) FROM tidemark.generation WHERE state = 'building'");
    await inTheWay.query(`BEGIN; LOCK TABLE ${building} IN SHARE MODE`);
    const keyed = both(() => keyBuild(other.engine, SOURCE, TABLE, prepared.generation));
    await waitFor('both to wait', async () => ((await other.target.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")) === '2' ? true : null));
    await inTheWay.query('COMMIT');
    await keyed;
    expect(await both(() => finishBuild(other.engine, SOURCE, TABLE, prepared.generation))).toEqual(['swapped', 'swapped']);
    expect(await other.faults(ROWS)).toEqual([]);
  });

  test.each(['postgres', 'mariadb'] as const)('a %s source that goes away between the read and the copy fails the step, not the worker', async (product) => {
    const other = product === 'postgres' ? stream : await OneStream.create({ product });
    if (other !== stream) await other.sync();
    other.runId = `gone-${runs}`;
    await other.change(1, 10, `gone ${runs}`);
    const step = other.nextStep((await other.prepare()).generation);
    const held = holdAt('P1');
    const cut = other.extract(step);
    const rejected = expect(cut).rejects.toMatchObject({ code: 'source.connection_lost' });
    await held.reached;
    await endSourceSessions(other);
    held.goOn();
    await rejected;
    await other.load((await other.extract(step)).batch);
    // Where another test's transaction was open at the source, the first batch is one of earlier rows.
    await other.sync();
    expect(await other.differences()).toEqual([]);
  });
});

const NO_SUCH_THREAD = 1094;

const LEFT_BY = 'SELECT count(*) FROM (SELECT run_id FROM tidemark.batch UNION ALL SELECT run_id FROM tidemark.run_stream) l WHERE run_id = $1';

async function writeRun(target: PostgresDatabase, runId: string, endedAt: 'now' | null): Promise<void> {
  await target.query("INSERT INTO tidemark.run (run_id, source, trigger, scope, workflow_id, workflow_run_id, status, ended_at) VALUES ($1, $2, 'manual', '{}', 'w', 'r', 'lost', $3)", [runId, SOURCE, endedAt]);
}

/** Ends Tidemark's sessions at the source, and waits until they are gone. */
async function endSourceSessions(stream: OneStream): Promise<void> {
  const { source } = stream;
  if (stream.product === 'postgres') {
    const ours = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'tidemark%'";
    await source.query(`SELECT pg_terminate_backend(pid) ${ours}`);
    await waitFor('the sessions to end', async () => ((await source.value(`SELECT count(*) ${ours}`)) === '0' ? true : null));
    return;
  }
  const ours = "FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID() AND command <> 'Daemon'";
  const ids = (await source.query(`SELECT id ${ours}`)).map(({ id }) => id);
  for (const id of ids) await source.query(`KILL ${id}`).catch((error: { errno?: number }) => {
    // It has ended by itself meanwhile.
    if (error.errno !== NO_SUCH_THREAD) throw error;
  });
  await waitFor('the sessions to end', async () => ((await source.value(`SELECT count(*) FROM information_schema.processlist WHERE id IN (${['0', ...ids].join()})`)) === '0' ? true : null));
}
