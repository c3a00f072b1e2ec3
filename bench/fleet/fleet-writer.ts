import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresDatabase } from '../../test/support/postgres.ts';
import type { FleetSource } from './fleet-sources.ts';

const WRITE_EVERY_MS = 1_000;

/** One new row each second in each of some sources, remembered with the instant before its statement was sent. */
export class FleetWriter {
  readonly #sources: readonly FleetSource[];
  /** Milliseconds since the epoch, by source and row. */
  readonly #sent = new Map<string, number[]>();
  #stopped = false;
  #lanes: Promise<void>[] = [];

  constructor(sources: readonly FleetSource[]) {
    this.#sources = sources;
  }

  /** Sources of one server share a lane: their statements follow one another. */
  start(): void {
    const kinds = new Set(this.#sources.map(({ kind }) => kind));
    this.#lanes = [...kinds].map((kind) => this.#write(this.#sources.filter((source) => source.kind === kind)));
    // Told by `stop`; where the measurement itself has failed, servers go while lanes write, and that is no news.
    for (const lane of this.#lanes) lane.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  get written(): number {
    return [...this.#sent.values()].reduce((sum, rows) => sum + rows.length, 0);
  }

  async #write(sources: readonly FleetSource[]): Promise<void> {
    for (let row = 0, due = Date.now(); !this.#stopped; row += 1, due += WRITE_EVERY_MS) {
      for (const source of sources) {
        const sent = this.#sent.get(source.id) ?? [];
        this.#sent.set(source.id, sent);
        sent.push(Date.now());
        await source.write(row);
      }
      await sleep(Math.max(0, due + WRITE_EVERY_MS - Date.now()));
    }
  }

  /**
   * Seconds from before each row's statement at the source to its commit at the destination, which must keep commit timestamps; `Infinity` for
   * a row that has not arrived. Rows of the first `skipSeconds` are left out.
   */
  async freshness(destination: PostgresDatabase, skipSeconds: number): Promise<readonly number[]> {
    const seconds: number[] = [];
    for (const [id, sent] of this.#sent) {
      const rows = await destination.query(`SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) AS at FROM ${id}.reading WHERE id >= 0`);
      const arrived = new Map(rows.map((row) => [Number(row['id']), Number(row['at'])]));
      const since = (sent[0] ?? 0) + skipSeconds * 1_000;
      sent.forEach((at, row) => at >= since && seconds.push((arrived.get(row) ?? Infinity) - at / 1_000));
    }
    return seconds.sort((a, b) => a - b);
  }
}

/** The value that this share of sorted values does not exceed. */
export function percentile(sorted: readonly number[], share: number): number {
  const found = sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  if (found === undefined) throw new Error('no values');
  return found;
}
