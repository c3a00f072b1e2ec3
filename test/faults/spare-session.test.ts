/** A session to spare at a source: never more than there may be, never before those that wait for one. */
import { openDestination } from '../../destinations/postgres/destination.ts';
import { SessionLeases } from '../../destinations/postgres/session-lease.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';

describeWith({ postgres: true }, 'a spare session', () => {
  let url: string;
  const { signal } = new AbortController();

  beforeAll(async () => {
    ({ url } = await createDatabase('leases'));
  });

  /** Leases of a process. */
  const leases = () => {
    const destination = openDestination(url);
    onFileEnd(() => destination.close());
    return new SessionLeases(destination);
  };
  const spare = (of: SessionLeases, source: string, max: number) => of.acquire(source, max, signal, { spare: true });

  test('is refused at once where all are in use', async () => {
    const [mine, other] = [leases(), leases()];
    const held = await mine.acquire('full', 1, signal);
    const asked = performance.now();
    await expect(spare(mine, 'full', 1)).rejects.toMatchObject({ code: 'source.sessions_busy' });
    await expect(spare(other, 'full', 1)).rejects.toMatchObject({ code: 'source.sessions_busy' });
    expect(performance.now() - asked).toBeLessThan(2_000);
    const second = await spare(other, 'full', 2);
    await second.release();
    await held.release();
    await (await spare(other, 'full', 1)).release();
  });

  test.each(['of the same process', 'of another process'])('is left to somebody %s who waits', async (whose) => {
    const mine = leases();
    const waiting = whose === 'of the same process' ? mine : leases();
    const held = await mine.acquire('wanted', 1, signal);
    const waiter = waiting.acquire('wanted', 1, signal);
    const refused = () => spare(mine, 'wanted', 2).then((lease) => lease.release().then(() => null), () => true as const);
    // One more is free all the time.
    await waitFor('the other to be seen waiting', refused);
    await held.release();
    await (await waiter).release();
    await (await spare(mine, 'wanted', 1)).release();
  });
});
