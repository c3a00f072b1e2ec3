import { whenThereIsRoom } from '../../activities/polls-at-once.ts';

test('polls are made in the order of asking, not all at once, and one that fails takes nobody\'s place', async () => {
  const begun: number[] = [];
  let [running, most] = [0, 0];
  const polls = Array.from({ length: 200 }, (_, index) => whenThereIsRoom(async () => {
    begun.push(index);
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    if (index % 3 === 0) throw new Error('failed');
    return index;
  }));
  const ends = await Promise.allSettled(polls);
  expect(begun).toEqual(ends.map((_, index) => index));
  expect(most).toBe(40);
  expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(67);
});
