import { setTimeout as sleep } from 'node:timers/promises';
import { Places } from '../../runtime/places.ts';
import { connectTemporal, type TemporalConnection } from '../../runtime/temporal-client.ts';
import type { PostgresDatabase } from '../../test/support/postgres.ts';

/** More at once than a full machine answers in time. */
const ASKED_AT_ONCE = 50;
const ANSWER_WITHIN_MS = 120_000;
const ASK_AGAIN_MS = 500;

/** Polls of a source up to an instant by `performance.now()`: those of a full machine are asked for one after another, which takes a while. */
export interface Counted {
  readonly polls: number;
  readonly at: number;
}

/** How often each source was polled so far: runs that have ended keep their count, running ones are asked. */
export class PollCounter {
  readonly #destination: PostgresDatabase;
  readonly #temporal: TemporalConnection;
  readonly #asking = new Places(ASKED_AT_ONCE);

  private constructor(destination: PostgresDatabase, temporal: TemporalConnection) {
    this.#destination = destination;
    this.#temporal = temporal;
  }

  static async connect(destination: PostgresDatabase, address: string, namespace: string): Promise<PollCounter> {
    return new PollCounter(destination, await connectTemporal({ address, namespace, ui: null }));
  }

  async count(): Promise<ReadonlyMap<string, Counted>> {
    // One look at all of them: a window that ends meanwhile is asked as well, and still knows.
    const windows = await this.#destination.query("SELECT source, workflow_id, CASE WHEN ended_at IS NULL THEN '' ELSE polls::text END AS polls FROM tidemark.run WHERE trigger = 'window' AND status <> 'waiting'");
    const counted = await Promise.all(
      windows.map(async ({ source, workflow_id: id, polls }) => ({ source: source ?? '', polls: polls ? Number(polls) : await this.#asking.run(() => this.#ask(id ?? '')), at: performance.now() })),
    );
    const counts = new Map<string, Counted>();
    for (const { source, polls, at } of counted) {
      const before = counts.get(source);
      counts.set(source, { polls: polls + (before?.polls ?? 0), at: Math.max(at, before?.at ?? 0) });
    }
    return counts;
  }

  /** A window that rests in a call answers at the call's end; where that takes longer than the server waits, it is asked again. */
  async #ask(workflowId: string): Promise<number> {
    for (const deadline = Date.now() + ANSWER_WITHIN_MS; ; await sleep(ASK_AGAIN_MS)) {
      try {
        return (await this.#temporal.client.workflow.getHandle(workflowId).query<{ polls: number }>('progress')).polls;
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  close(): Promise<void> {
    return this.#temporal.close();
  }
}
