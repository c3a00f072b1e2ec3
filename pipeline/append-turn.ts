/**
 * The order in which batches that are copied side by side commit. The next one waits on a lock of the destination that the one before it holds: where the two
 * meet in a row of the target, each waiting for the other, the server sees it and ends one of them.
 */
import { fenced } from '../destinations/postgres/batch.ts';
import { holdTurn, waitForTurn } from '../destinations/postgres/commit-turn.ts';
import type { Session } from '../destinations/postgres/session.ts';

export class Turn {
  readonly #batch: number;
  readonly #before: Turn | null;
  /** Settles when the transaction holds its lock or has ended. */
  readonly #held = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<boolean>();

  /** `before`: of the batch whose rows come first. */
  constructor(batch: number, before: Turn | null) {
    [this.#batch, this.#before] = [batch, before];
  }

  /** At the beginning of the batch's transaction. */
  async hold(session: Session): Promise<void> {
    await holdTurn(session, this.#batch);
    this.#held.resolve();
  }

  /** Before the batch's last statements: returns once the one before has committed, throws `batch.fenced` where it has not. */
  async take(session: Session): Promise<void> {
    if (this.#before === null) return;
    await this.#before.#held.promise;
    await waitForTurn(session, this.#before.#batch);
    if (!(await this.#before.#ended.promise)) throw fenced(this.#batch);
  }

  end(committed: boolean): void {
    this.#held.resolve();
    this.#ended.resolve(committed);
  }
}
