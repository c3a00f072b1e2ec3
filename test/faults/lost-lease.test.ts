/** An attempt whose place among the sessions of its source is lost while it reads: the destination keeps those places, and may end or restart at any moment. */
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { holdAt, noFaults } from './fault-hook.ts';
import { OneStream } from './one-stream.ts';

afterEach(noFaults);

describeWith({ postgres: true, mariadb: true }, 'an attempt whose place among the sessions of its source is lost', () => {
  test('says that the destination lost it, counts nothing against its source, and the next attempt counts the batch once', async () => {
    const stream = await OneStream.create({ product: 'mariadb' });
    await stream.sync();
    stream.runId = 'lost';
    await stream.change(1, 10, 'lost');
    const step = stream.nextStep((await stream.prepare()).generation);
    const held = holdAt('P1');
    const attempt = stream.extract(step);
    await held.reached;
    const atSource = async () => Number(await stream.source.value(`SELECT count(*) FROM information_schema.processlist WHERE db = '${stream.source.name}' AND id <> connection_id()`));
    expect(await atSource()).toBeGreaterThan(0);
    const rejected = expect(attempt).rejects.toEqual(expect.objectContaining({ code: 'target.connection_lost' }));
    await stream.target.query("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
    // All of them: a session of an earlier step that ends late would be taken for the reader's.
    await waitFor('the session at the source to end', async () => ((await atSource()) === 0 ? true : null));
    held.goOn();
    await rejected;
    noFaults();
    expect(await stream.target.value('SELECT count(*) FROM tidemark.breaker WHERE failures > 0')).toBe('0');
    await stream.load((await stream.extract(step)).batch);
    await stream.sync();
    expect(await stream.faults(10)).toEqual([]);
  });
});
