/** A statement: SQL text with its binds, all of them text. */
export interface BindValue {
  readonly text: string;
  /** Compared with a column of the national character set. */
  readonly national: boolean;
}

export interface Statement {
  readonly sql: string;
  readonly binds: Readonly<Record<string, BindValue>>;
}

/** Binds of one statement, named in the order in which they were added. */
export class Binds {
  readonly #values: Record<string, BindValue> = {};
  #count = 0;

  /** The placeholder for a value. */
  add(text: string, charset: 'database' | 'national' = 'database'): string {
    this.#count += 1;
    this.#values[`b${this.#count}`] = { text, national: charset === 'national' };
    return `:b${this.#count}`;
  }

  statement(sql: string): Statement {
    return { sql, binds: this.#values };
  }
}
