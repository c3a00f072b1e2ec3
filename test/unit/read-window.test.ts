import { nextOpening } from '../../schemas/read-window.ts';

const NIGHT = { hours: '22:00-05:30', timeZone: 'Africa/Dar_es_Salaam' };

describe('read windows', () => {
  test.each([
    // Dar es Salaam is three hours ahead of UTC.
    [NIGHT, '2024-03-01T19:00:00Z', null],
    [NIGHT, '2024-03-01T18:59:59Z', '2024-03-01T19:00:00.000Z'],
    [NIGHT, '2024-03-02T02:29:59Z', null],
    [NIGHT, '2024-03-02T02:30:00Z', '2024-03-02T19:00:00.000Z'],
    [{ hours: '08:00-09:00', timeZone: 'UTC' }, '2024-03-01T08:59:59Z', null],
    [{ hours: '08:00-09:00', timeZone: 'UTC' }, '2024-03-01T09:00:00Z', '2024-03-02T08:00:00.000Z'],
    // Summer time begins in Berlin on 31 March: 06:00 there is 04:00 UTC from then on.
    [{ hours: '06:00-07:00', timeZone: 'Europe/Berlin' }, '2024-03-30T12:00:00Z', '2024-03-31T04:00:00.000Z'],
    [{ hours: '00:00-06:00', timeZone: 'UTC' }, '2024-03-01T00:00:00Z', null],
  ])('%j at %s', (window, now, opening) => {
    expect(nextOpening(window, new Date(now))?.toISOString() ?? null).toBe(opening);
  });
});
