import { judgeLine, type Look } from '../../destinations/postgres/line-verdict.ts';

const waiting = { waits: true, idle: false, mark: 'active|ClientRead|100' };
const look = (changes: Partial<Look> = {}): Look => ({ server: waiting, sent: 1_000, clientWaits: true, ...changes });

describe('a line that says nothing', () => {
  test.each<[string, readonly Look[], string]>([
    ['its server has no such session', [look({ server: null })], 'gone'],
    ['both ends wait, at three looks', [look(), look(), look()], 'deaf'],
    ['both ends wait, at two looks', [look(), look()], 'alive'],
    ['its server works', [look(), look(), look({ server: { waits: false, idle: false, mark: waiting.mark } })], 'alive'],
    ['its server has moved in between', [look({ server: { ...waiting, mark: 'active|ClientRead|50' } }), look(), look()], 'alive'],
    ['its server worked long, and then both ends wait', [look({ server: { waits: false, idle: false, mark: 'active' } }), look(), look(), look()], 'deaf'],
    ['a COPY waits for its next rows', [look({ clientWaits: false }), look({ clientWaits: false }), look({ clientWaits: false })], 'alive'],
    ['rows of a COPY were sent and never seen', [look({ clientWaits: false }), look({ clientWaits: false, sent: 2_000 }), look({ clientWaits: false, sent: 2_000 })], 'deaf'],
    ['rows of a COPY were sent just now', [look({ clientWaits: false }), look({ clientWaits: false }), look({ clientWaits: false, sent: 2_000 })], 'alive'],
    ['its server waits for a COPY to begin', [1, 2, 3].map(() => look({ clientWaits: false, server: { waits: true, idle: true, mark: 'idle in transaction' } })), 'deaf'],
  ])('%s', (_name, looks, verdict) => {
    expect(judgeLine(looks)).toBe(verdict);
  });
});
