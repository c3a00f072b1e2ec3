/** A stream leaves the catalog while the watch notes that it misses its objective: whoever comes second sees the first, and no miss is left over. */
import { listStreams, removeSource } from '../../destinations/postgres/catalog.ts';
import type { Destination, Session } from '../../destinations/postgres/destination.ts';
import { noteMissed } from '../../destinations/postgres/freshness.ts';
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { OneStream, SOURCE, TABLE } from './one-stream.ts';

describeWith({ postgres: true }, 'a stream that leaves the catalog while its miss is noted', () => {
  let stream: OneStream;
  let destination: Destination;

  beforeEach(async () => {
    stream = await OneStream.create({ product: 'postgres' });
    ({ destination } = stream.engine);
  });

  const note = (session: Session) => noteMissed(session, { source: SOURCE, stream: TABLE }, 0, 'no_run');
  const waiting = () => stream.target.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'");
  const misses = () => stream.target.value('SELECT count(*) FROM tidemark.freshness');

  /** Two transactions: the second begins when the first has done its work, and the first ends when the second waits or is done. */
  async function overlap<A, B>(first: (session: Session) => Promise<A>, second: (session: Session) => Promise<B>): Promise<[A, B]> {
    let later: Promise<B> | undefined;
    const earlier = await destination.transaction('the first of two', async (session) => {
      const result = await first(session);
      let done = false;
      later = destination.transaction('the second of two', second).finally(() => (done = true));
      await waitFor('the second to wait or to end', async () => (done || (await waiting()) !== '0' ? true : null));
      return result;
    });
    return [earlier, await later!];
  }

  test('the miss first: its stream leaves after it, and ends it', async () => {
    const [noted] = await overlap(note, (session) => removeSource(session, SOURCE));
    expect(noted).toBe(true);
    expect(await misses()).toBe('0');
    expect(await stream.target.value("SELECT string_agg(data->>'reason', ',') FROM tidemark.event WHERE type = 'FreshnessRestored'")).toBe('not_watched');
    expect(await destination.transaction('looking', (session) => listStreams(session, null))).toEqual([]);
  });

  test('the stream first: no miss is noted, and none while it leaves', async () => {
    const [, noted] = await overlap((session) => removeSource(session, SOURCE), note);
    expect(noted).toBe(false);
    expect(await misses()).toBe('0');
    expect(await destination.transaction('noting later', note)).toBe(false);
  });
});
