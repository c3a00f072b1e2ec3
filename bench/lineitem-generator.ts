/** Rows of the shape of TPC-H's `lineitem` where its generator is not installed: the same on every machine, not the same as TPC-H's. */
import { join } from 'node:path';

const SEED = 0x9e3779b9;
const LINES_PER_ORDER_MAX = 7;
const DAY_MS = 86_400_000;
const FIRST_DAY = Date.UTC(1992, 0, 1);
const DAYS = 2400;
const INSTRUCTIONS = ['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'];
const MODES = ['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'];
const WORDS = ['furiously', 'quickly', 'carefully', 'final', 'ironic', 'pending', 'deposits', 'accounts', 'requests', 'packages', 'sleep', 'haggle', 'nag', 'among', 'the'];
const COMMENT_LENGTH_MAX = 43;

/** The xorshift generator of 32 bits (Marsaglia, "Xorshift RNGs", 2003). */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** Lines of 16 values between `|`; the key (1st and 4th value) never repeats. */
export function* lineitemRows(count: number): Generator<string> {
  const random = randomNumbers(SEED);
  const pick = (from: readonly string[]): string => from[random(from.length)] ?? '';
  const day = (offset: number): string => new Date(FIRST_DAY + offset * DAY_MS).toISOString().slice(0, 10);
  for (let made = 0, order = 1; made < count; order += 1) {
    const lines = 1 + random(LINES_PER_ORDER_MAX);
    for (let line = 1; line <= lines && made < count; line += 1, made += 1) {
      const quantity = 1 + random(50);
      const shipped = random(DAYS);
      const words = Array.from({ length: 2 + random(5) }, () => pick(WORDS)).join(' ').slice(0, COMMENT_LENGTH_MAX);
      yield [
        order, 1 + random(200_000), 1 + random(10_000), line, `${quantity}.00`, `${quantity * (900 + random(1200))}.${10 + random(90)}`, `0.0${random(10)}`, `0.0${random(9)}`,
        pick(['A', 'N', 'R']), pick(['F', 'O']), day(shipped), day(shipped + random(60)), day(shipped + random(30)), pick(INSTRUCTIONS), pick(MODES), words,
      ].join('|');
    }
  }
}

/** Command that prints {@link lineitemRows}. */
export function ownGenerator(count: number): string {
  return `"${process.execPath}" --disable-warning=ExperimentalWarning "${join(import.meta.dirname, 'print-lineitem.ts')}" ${count}`;
}
