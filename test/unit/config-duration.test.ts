import fc from 'fast-check';
import { formatDuration, parseDuration, parsePeriod } from '../../schemas/duration.ts';

test.each([
  ['30s', 30], ['5m', 300], ['24h', 86_400], ['1d', 86_400], ['7 years', 7 * 365 * 86_400], ['1h 30m', 5400], ['1h30m', 5400],
  ['2 weeks', 14 * 86_400], ['90', 90], [' 15 ', 15], ['1 day', 86_400], ['0s', 0],
])('%s is %d seconds', (text, seconds) => {
  expect(parseDuration(text)).toBe(seconds);
});

test.each(['', 's', '5x', '-5s', '1.5h', '5 constructor', '1e3', '30 s s', '99999999999 years'])('%p is no duration', (text) => {
  expect(parseDuration(text)).toBeNull();
});

test('a formatted duration means the same', () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 10_000_000 }), (seconds) => parseDuration(formatDuration(seconds)) === seconds));
});

test.each([['7 years', '7 years'], ['1 year', '1 years'], ['18 months', '18 months'], ['90d', '90 days'], ['12 Weeks', '12 weeks']])('%s is the period %s', (text, period) => {
  expect(parsePeriod(text)).toBe(period);
});

test.each(['7', '0 years', '7 yers', '5h', '1y; drop table x'])('%p is no period', (text) => {
  expect(parsePeriod(text)).toBeNull();
});
