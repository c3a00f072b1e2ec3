/** What ends first: who works, then what they work on, then the traces on disk. */
const STAGES = ['worker', 'server', 'files'] as const;
export type Stage = (typeof STAGES)[number];

/** What must be undone at the end, in stages; those of one stage at the same time. All are run, even if one fails. */
export class StopList {
  /** Given when stopping begins, so that a start or restart under way gives up. */
  readonly signal: AbortSignal;
  readonly #stopping = new AbortController();
  readonly #stops: { stage: Stage; stop: () => Promise<void> | void }[] = [];
  #stopped: Promise<void> | null = null;

  constructor() {
    this.signal = this.#stopping.signal;
  }

  add(stage: Stage, stop: () => Promise<void> | void): void {
    this.#stops.push({ stage, stop });
  }

  /** Lets starts under way give up; whoever awaits them then calls {@link run}. */
  interrupt(): void {
    this.#stopping.abort();
  }

  /** Once nothing is added any more. Later calls wait for the first. */
  run(): Promise<void> {
    this.interrupt();
    this.#stopped ??= this.#runAll();
    return this.#stopped;
  }

  async #runAll(): Promise<void> {
    for (const stage of STAGES) {
      const stops = this.#stops.filter((entry) => entry.stage === stage);
      await Promise.allSettled(stops.map(async ({ stop }) => stop()));
    }
  }
}
