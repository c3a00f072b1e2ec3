/** How many copies a worker asks Temporal for before it has looked at its load. */
import { setTimeout as sleep } from 'node:timers/promises';
import { NativeConnection, Worker } from '@temporalio/worker';
import { connectionOptions } from '../../runtime/temporal-client.ts';
import { BulkPlaces, bulkOptions } from '../../workers/bulk-places.ts';
import { describeWith } from '../support/describe-with.ts';
import { waitFor } from '../support/processes.ts';
import { onFileEnd } from '../support/release.ts';
import { sharedTemporal } from '../support/temporal.ts';

const LOOK_MS = 5;
const AT_ONCE_MAX = 8;

class CountedPlaces extends BulkPlaces {
  given = 0;

  constructor() {
    super({ atOnceMin: 2, atOnceMax: AT_ONCE_MAX, lookMs: LOOK_MS, shareAfterMs: 3_600_000, watchLoad: () => () => 0 });
  }

  override async reserveSlot(context: unknown, signal: AbortSignal) {
    const permit = await super.reserveSlot(context, signal);
    this.given += 1;
    return permit;
  }
}

describeWith({ temporal: true }, 'a worker of bulk copies', () => {
  test('that rests keeps the place of its question and of the next, not as many as it has', async () => {
    const { address } = await sharedTemporal();
    const connection = await NativeConnection.connect(connectionOptions(address));
    onFileEnd(() => connection.close());
    const places = new CountedPlaces();
    const worker = await Worker.create({ ...bulkOptions(places), connection, taskQueue: 'bulk-polls', activities: { copy: async () => undefined } });
    await worker.runUntil(async () => {
      await waitFor('a first place', async () => (places.given > 0 ? true : null));
      await sleep(20 * AT_ONCE_MAX * LOOK_MS);
      expect(places.given).toBeLessThanOrEqual(2);
    });
  });
});
