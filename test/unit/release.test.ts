import { onFileEnd, releaseAll } from '../support/release.ts';

test('releases run in reverse order and a failing one does not stop the others', async () => {
  const order: string[] = [];
  onFileEnd(() => void order.push('first'));
  onFileEnd(() => {
    throw new Error('broken');
  });
  onFileEnd(async () => void order.push('last'));
  await expect(releaseAll()).rejects.toThrow('broken');
  expect(order).toEqual(['last', 'first']);
  expect(import.meta.dirname).toMatch(/test.unit$/);
});
