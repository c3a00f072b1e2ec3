import { createHmac, randomBytes } from 'node:crypto';
import { hmacSha256, rememberFew, type Sign } from '../../pipeline/masks/hmac-sha256.ts';

/** The value stands somewhere among other bytes. */
const whole = (sign: Sign) => (value: Buffer): string => sign(Buffer.concat([Buffer.from('before'), value, Buffer.from('after')]), 6, 6 + value.length);

const plain = (key: Buffer, value: Buffer): string => createHmac('sha256', key).update(value).digest('hex');

test.each([0, 1, 55, 56, 63, 64, 65, 1023, 1024, 1025, 100_000])('a value of %i bytes gets the HMAC that node:crypto gives it', (length) => {
  const key = randomBytes(32);
  const sign = whole(hmacSha256(key));
  const longer = randomBytes(1000);
  const value = randomBytes(length);
  // A longer value before it leaves nothing behind.
  expect([sign(longer), sign(value), sign(longer)]).toEqual([plain(key, longer), plain(key, value), plain(key, longer)]);
});

test.each([3, 256, 257, 2000])('a column of %i different values gets the same results as without memory', (different) => {
  const key = randomBytes(32);
  const sign = whole(rememberFew(hmacSha256(key)));
  const values = Array.from({ length: different }, (_, index) => Buffer.from(`état ${index}`, index % 2 === 0 ? 'utf8' : 'latin1'));
  for (const value of [...values, ...values.toReversed()]) expect(sign(value)).toBe(plain(key, value));
});
