import type { Destination } from './destination.ts';

/**
 * For which sources a run that a person asked for waits: one question for all polls of a process that want to know at about the same time, since a
 * fleet's would otherwise ask as often as they poll.
 */
export class WaitingRuns {
  readonly #destination: Destination;
  #asked = -Infinity;
  #answer: Promise<ReadonlySet<string>> = Promise.resolve(new Set());

  constructor(destination: Destination) {
    this.#destination = destination;
  }

  /** As it was at most `ageMaxMs` ago. Throws where the destination can't be asked. */
  async waitsFor(source: string, ageMaxMs: number): Promise<boolean> {
    const now = performance.now();
    if (now - this.#asked > ageMaxMs) {
      this.#asked = now;
      this.#answer = this.#ask();
      // An answer that never came is no answer to those that ask later.
      this.#answer.catch(() => (this.#asked = -Infinity));
    }
    return (await this.#answer).has(source);
  }

  #ask(): Promise<ReadonlySet<string>> {
    return this.#destination.session('looking for waiting runs', async (session) => {
      const { rows } = await session.query<{ source: string }>("select distinct source from tidemark.run where status = 'waiting' and trigger = 'manual'");
      return new Set(rows.map(({ source }) => source));
    });
  }
}
