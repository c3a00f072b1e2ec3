import { describeFault, scheduleOf } from './schedule.ts';

describe('a schedule of faults', () => {
  test('is a function of its seed', () => {
    expect(scheduleOf(7, 10)).toEqual(scheduleOf(7, 10));
    expect(scheduleOf(7, 10)).not.toEqual(scheduleOf(8, 10));
  });

  test.each([1, 2, 3, 4, 5])('never hurts more than three at once, nor one victim twice, seed %d', (seed) => {
    const faults = scheduleOf(seed, 60);
    expect(faults.length).toBeGreaterThan(100);
    for (const { atMs, victim } of faults) {
      const hurting = faults.filter((other) => other.atMs <= atMs && other.healAtMs > atMs);
      expect(hurting.length).toBeLessThanOrEqual(3);
      expect(hurting.filter((other) => other.victim === victim).length).toBeLessThanOrEqual(1);
    }
  });

  test('is shown with its times and victims', () => {
    expect(describeFault({ victim: 'source', injury: { kind: 'restart' }, atMs: 1500, healAtMs: 2000 })).toBe('    1.5 s to     2.0 s  source: restart');
  });
});
