import { connectTemporal, type TemporalConnection } from '../../runtime/temporal-client.ts';
import type { PostgresDatabase } from '../../test/support/postgres.ts';

const ATTEMPTS_MAX = 5;

/** How often each source was polled so far: runs that have ended keep their count, running ones are asked. */
export class PollCounter {
  readonly #destination: PostgresDatabase;
  readonly #temporal: TemporalConnection;

  private constructor(destination: PostgresDatabase, temporal: TemporalConnection) {
    this.#destination = destination;
    this.#temporal = temporal;
  }

  static async connect(destination: PostgresDatabase, address: string, namespace: string): Promise<PollCounter> {
    return new PollCounter(destination, await connectTemporal({ address, namespace, ui: null }));
  }

  async count(): Promise<ReadonlyMap<string, number>> {
    // One look at all of them: a window that ends meanwhile is asked as well, and still knows.
    const windows = await this.#destination.query("SELECT source, workflow_id, CASE WHEN ended_at IS NULL THEN '' ELSE polls::text END AS polls FROM tidemark.run WHERE trigger = 'window' AND status <> 'waiting'");
    const counted = await Promise.all(windows.map(async ({ source, workflow_id: id, polls }) => [source ?? '', polls ? Number(polls) : await this.#ask(id ?? '')] as const));
    const counts = new Map<string, number>();
    for (const [source, polls] of counted) counts.set(source, (counts.get(source) ?? 0) + polls);
    return counts;
  }

  /** A window that rests in a call answers at the call's end; where that takes longer than the server waits, it is asked again. */
  async #ask(workflowId: string): Promise<number> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return (await this.#temporal.client.workflow.getHandle(workflowId).query<{ polls: number }>('progress')).polls;
      } catch (error) {
        if (attempt === ATTEMPTS_MAX) throw error;
      }
    }
  }

  close(): Promise<void> {
    return this.#temporal.close();
  }
}
