/** COPY out of the server as a pull-driven stream of bytes: no row is seen. */
import { Readable } from 'node:stream';
import type { RowFormat, RowRead } from '../connector.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { cancelled, type PostgresClient, type Silence } from './client.ts';
import { CopyOutQuery } from './copy-messages.ts';

/** Bytes buffered on the way: a few socket reads, so that the server is never waited for. */
const HIGH_WATER_MARK_BYTES = 1 << 20;
/** How long a cancelled statement may take to end before its socket is destroyed. */
const DRAIN_TIMEOUT_MS = 2_000;

class CopyRead extends Readable {
  readonly #client: PostgresClient;
  readonly #query: CopyOutQuery;
  readonly #where: string;
  readonly #rowsMax: number;
  readonly #released: Promise<void>;
  #rows = 0;
  /** The server has said its last word: nothing is left to cancel or to drain. */
  #ended = false;
  /** Runs while rows are wanted. */
  #silence: Silence | undefined;
  readonly #onAbort = (): void => void this.destroy(cancelled());

  constructor(client: PostgresClient, query: CopyOutQuery, where: string, rowsMax: number) {
    super({ highWaterMark: HIGH_WATER_MARK_BYTES });
    this.#client = client;
    this.#query = query;
    this.#where = where;
    this.#rowsMax = rowsMax;
    query.on('data', (chunk: Buffer) => {
      this.#silence?.refresh();
      if (this.destroyed || this.push(chunk)) return;
      query.pause();
      this.#calm();
    });
    this.#released = new Promise((resolve) => {
      query.once('end', () => void this.#finish().then(resolve));
      query.once('error', (error) => void this.#fail(error).then(resolve));
    });
    client.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get rows(): number {
    return this.#rows;
  }

  /** Settles when the session is free for its next statement; never rejects. */
  get released(): Promise<void> {
    return this.#released;
  }

  override _read(): void {
    if (this.#ended) return;
    this.#silence ??= this.#client.onSilence();
    this.#query.resume();
  }

  #calm(): void {
    this.#silence?.stop();
    this.#silence = undefined;
  }

  /** A reader that stops early cancels the statement; what is still on the wire is drained, so the session stays usable. */
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#client.signal.removeEventListener('abort', this.#onAbort);
    this.#calm();
    if (this.#ended) return done(error);
    const timer = setTimeout(() => this.#client.abandon(), DRAIN_TIMEOUT_MS);
    this.#query.resume();
    void this.#client.cancel();
    void this.#released.then(() => {
      clearTimeout(timer);
      done(error);
    });
  }

  /** The end is passed on only after the transaction's: an error of the last moment is never taken for the end of the data. */
  async #finish(): Promise<void> {
    this.#ended = true;
    this.#calm();
    try {
      await this.#client.inTime(this.#client.driver.query('COMMIT'));
      this.#rows = this.#query.rowCount;
      if (this.#rows > this.#rowsMax) throw overfull(this.#where, this.#rowsMax);
      if (!this.destroyed) this.push(null);
    } catch (error) {
      this.destroy(this.#client.explain(error, this.#where));
    }
  }

  async #fail(error: unknown): Promise<void> {
    this.#ended = true;
    this.#calm();
    await this.#client.rollback();
    this.destroy(this.#client.explain(error, this.#where));
  }
}

/** A read, and when the session may be used again: at the stream's end, failure or early destruction. */
export interface CopyOut {
  readonly read: RowRead;
  readonly released: Promise<void>;
}

function overfull(where: string, rowsMax: number): TidemarkError {
  return new TidemarkError('source.batch_overfull', `${where}: more than ${rowsMax} rows lie in a range that was not counted.`, { hint: 'The range is counted and read again.' });
}

/**
 * Sends `COPY (select) TO STDOUT` in the session's open transaction, which ends with the stream. Where the select has more than `rowsMax` rows the stream
 * fails at the first that is too many.
 */
export function copyOut(client: PostgresClient, select: string, format: RowFormat, where: string, rowsMax = Infinity): CopyOut {
  const text = `COPY (${select}${rowsMax === Infinity ? '' : ` LIMIT ${rowsMax + 1}`}) TO STDOUT${format === 'copy-binary' ? ' (FORMAT binary)' : ''}`;
  const query = client.driver.query(new CopyOutQuery(text, client.reads));
  const stream = new CopyRead(client, query, where, rowsMax);
  return { read: { format, marksRejects: false, stream, rowsRead: () => stream.rows, keepFrames: (tap) => query.keepFrames(tap) }, released: stream.released };
}
