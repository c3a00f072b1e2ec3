import { connectTemporal, type TemporalConnection } from '../../runtime/temporal-client.ts';
import type { PostgresDatabase } from '../../test/support/postgres.ts';

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
    const running = await this.#destination.query("SELECT source, workflow_id FROM tidemark.run WHERE status = 'running'");
    const asked = await Promise.all(
      running.map(async (run) => {
        const { polls } = await this.#temporal.client.workflow.getHandle(run['workflow_id'] ?? '').query<{ polls: number }>('progress');
        return { source: run['source'] ?? '', polls };
      }),
    );
    const ended = await this.#destination.query("SELECT source, sum(polls) AS polls FROM tidemark.run WHERE ended_at IS NOT NULL AND trigger = 'window' GROUP BY source");
    const counts = new Map(ended.map((row) => [row['source'] ?? '', Number(row['polls'])]));
    for (const { source, polls } of asked) counts.set(source, (counts.get(source) ?? 0) + polls);
    return counts;
  }

  close(): Promise<void> {
    return this.#temporal.close();
  }
}
