import { setTimeout as sleep } from 'node:timers/promises';
import { BulkPlaces, type BulkLimits } from '../../workers/bulk-places.ts';

const LOOK_MS = 2;
const NEVER_MS = 3_600_000;

/** Asks for a place; tells whether it was given. */
function ask(places: BulkPlaces, signal = new AbortController().signal) {
  const asked = { given: false, place: Promise.resolve() };
  asked.place = places.reserveSlot(null, signal).then(() => void (asked.given = true));
  return asked;
}

function placesOf(load: number, limits: Partial<BulkLimits> = {}): BulkPlaces {
  return new BulkPlaces({ atOnceMin: 2, atOnceMax: 3, lookMs: LOOK_MS, shareAfterMs: NEVER_MS, watchLoad: () => () => load, ...limits });
}

/** Several looks at the load. */
const looks = () => sleep(20 * LOOK_MS);

/** No further place is given until one is given back. */
async function expectFull(places: BulkPlaces): Promise<void> {
  const further = ask(places);
  await looks();
  expect(further.given).toBe(false);
  places.releaseSlot();
  await further.place;
}

describe('places for bulk copies', () => {
  test('a busy worker has the least number, and a further one when one of them is given back', async () => {
    const places = placesOf(1);
    await Promise.all([ask(places).place, ask(places).place]);
    await expectFull(places);
    await expectFull(places);
  });

  test('a worker with time to spare takes more, up to the largest number', async () => {
    const places = placesOf(0.5);
    await Promise.all([ask(places).place, ask(places).place]);
    await ask(places).place;
    await expectFull(places);
  });

  test('a worker that is kept busy takes another one after a while', async () => {
    const places = placesOf(1, { shareAfterMs: 50 });
    await Promise.all([ask(places).place, ask(places).place]);
    const asked = performance.now();
    await ask(places).place;
    expect(performance.now() - asked).toBeGreaterThanOrEqual(40);
  });

  test('and each further one after twice the time of the one before', async () => {
    const places = placesOf(1, { shareAfterMs: 50, atOnceMax: 4 });
    await Promise.all([ask(places).place, ask(places).place]);
    await ask(places).place;
    const asked = performance.now();
    await ask(places).place;
    expect(performance.now() - asked).toBeGreaterThanOrEqual(90);
  });

  test('what is asked for no more ends with the reason, and takes no place', async () => {
    const places = placesOf(1);
    await Promise.all([ask(places).place, ask(places).place]);
    const ending = new AbortController();
    const third = ask(places, ending.signal);
    const reason = new Error('no more');
    ending.abort(reason);
    await expect(third.place).rejects.toBe(reason);
    places.releaseSlot();
    await ask(places).place;
    await expectFull(places);
  });

  test('none is given to who would not wait', () => {
    expect(placesOf(0).tryReserveSlot()).toBeNull();
  });
});
