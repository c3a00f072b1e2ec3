/**
 * Writes to a source for as long as it is let, and remembers what was acknowledged: transfers between accounts whose sum stays the same, an
 * append-only list, a mix of inserts and changes, and transactions that commit late. What it does next is a function of its seed.
 */
import { seededRandom } from '../../support/random.ts';
import { insertRows, tableSql } from '../fault-source.ts';
import type { FaultEngine, FaultSource } from '../fault-source.ts';

export const TABLES = ['account', 'entry', 'item'] as const;
export const ACCOUNTS = 20;
/** What the accounts hold together: each begins with its number and 25 cents. */
export const ACCOUNTS_SUM = `${(ACCOUNTS * (ACCOUNTS + 1)) / 2 + ACCOUNTS * 0.25}.00`;

const PAUSE_MS = 40;
const ITEMS = 400;
/** One write in so many is a transaction that stays open for a while. */
const LATE_ONE_IN = 12;

export class ChaosWriter {
  readonly #engine: FaultEngine;
  readonly #source: FaultSource;
  readonly #random: () => number;
  /** Ids of the list whose insert was acknowledged. */
  readonly acknowledged = new Set<number>();
  readonly #late = new Set<Promise<void>>();
  writes = 0;
  #nextEntry = 1;
  #nextItem = ITEMS + 1;
  #stopping = false;
  #running: Promise<void> | null = null;

  constructor(engine: FaultEngine, source: FaultSource, seed: number) {
    [this.#engine, this.#source, this.#random] = [engine, source, seededRandom(seed ^ 0x5eed)];
  }

  async prepare(): Promise<void> {
    for (const table of TABLES) await this.#source.run(tableSql(this.#engine, table));
    await insertRows(this.#engine, this.#source, 'account', 1, ACCOUNTS);
    await insertRows(this.#engine, this.#source, 'item', 1, ITEMS);
  }

  start(): void {
    this.#running = this.#write();
  }

  /** Resolves when nothing is under way any more. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#running;
    await Promise.all(this.#late);
  }

  async #write(): Promise<void> {
    while (!this.#stopping) {
      await this.#one().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }

  /** A write that fails may have happened or not; what it leaves is the source's truth all the same. */
  async #one(): Promise<void> {
    const kind = this.#below(LATE_ONE_IN);
    if (kind === 0 && this.#engine.late !== null) return this.#appendLate(this.#engine.late);
    if (kind <= 4) await this.#transfer();
    else if (kind <= 7) await this.#append();
    else if (kind <= 9) await this.#source.run(`UPDATE item SET name = 'changed ${this.#below(1_000_000)}', amount = amount + 1, changed_at = ${this.#engine.now} WHERE id = ${1 + this.#below(ITEMS)}`);
    else await insertRows(this.#engine, this.#source, 'item', this.#nextItem, (this.#nextItem += 1 + this.#below(20)) - 1);
    this.writes += 1;
  }

  async #transfer(): Promise<void> {
    const [from, to, amount] = [1 + this.#below(ACCOUNTS), 1 + this.#below(ACCOUNTS), this.#below(100)];
    if (from === to) return;
    await this.#source.run(`UPDATE account SET amount = amount + CASE WHEN id = ${from} THEN -${amount} ELSE ${amount} END, changed_at = ${this.#engine.now} WHERE id IN (${from}, ${to})`);
  }

  async #append(): Promise<void> {
    const id = this.#nextEntry++;
    await insertRows(this.#engine, this.#source, 'entry', id, id);
    this.acknowledged.add(id);
  }

  /** Its cursor is older than that of rows which are committed before it. */
  #appendLate(late: (sql: string) => string): void {
    const id = this.#nextEntry++;
    const write = this.#source.run(late(`INSERT INTO entry (id, name, amount, changed_at) VALUES (${id}, 'late ${id}', ${id}.25, ${this.#engine.now})`)).then(() => void this.acknowledged.add(id), () => undefined);
    this.#late.add(write);
    void write.finally(() => this.#late.delete(write));
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}
