import { Readable } from 'node:stream';
import type { Socket } from 'node:net';

export interface RowStreamOptions {
  /** Longest wait for the next bytes, in milliseconds, counted only while the consumer wants some. */
  readonly timeoutMs: number;
  readonly onTimeout: () => void;
  /** Destroyed before its end: the statement has to go. */
  readonly onDestroy: () => void;
}

/**
 * The rows of one read, out of the pipe that all reads of a session share. The reader tells how many bytes it wrote, so the
 * stream's end does not depend on the order in which the pipe and the messages arrive.
 */
export class RowStream extends Readable {
  readonly #pipe: Socket;
  readonly #options: RowStreamOptions;
  #timer: NodeJS.Timeout | null = null;
  #received = 0;
  #expected: { readonly rows: number; readonly bytes: number } | null = null;
  #ended = false;

  constructor(pipe: Socket, options: RowStreamOptions) {
    super({ highWaterMark: 256 * 1024 });
    this.#pipe = pipe;
    this.#options = options;
    // A read may fail before its consumer listens; the stream keeps the error for it.
    this.on('error', () => undefined);
    pipe.on('data', this.#onData);
    pipe.pause();
  }

  /** Known after the stream's end. */
  rowsRead(): number {
    return this.#expected?.rows ?? 0;
  }

  /** All bytes have arrived, or nobody waits for more. */
  get complete(): boolean {
    return this.#ended;
  }

  /** Its consumer wants more bytes than have come. */
  get awaited(): boolean {
    return this.#timer !== null;
  }

  /** The reader has written everything. */
  finish(rows: number, bytes: number): void {
    this.#expected = { rows, bytes };
    this.#endIfComplete();
  }

  /** Leaves the pipe without having been used. */
  abandon(): void {
    this.#release();
    this.#ended = true;
    this.destroy();
  }

  override _read(): void {
    if (this.#ended) return;
    this.#timer ??= setTimeout(this.#options.onTimeout, this.#options.timeoutMs);
    this.#pipe.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const early = !this.#ended;
    this.#release();
    this.#ended = true;
    if (early) this.#options.onDestroy();
    callback(error);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#received += chunk.length;
    this.#stopTimer();
    const more = this.push(chunk);
    this.#endIfComplete();
    if (this.#ended) return;
    if (more) this.#timer = setTimeout(this.#options.onTimeout, this.#options.timeoutMs);
    else this.#pipe.pause();
  };

  #endIfComplete(): void {
    if (this.#ended || this.#expected === null || this.#received < this.#expected.bytes) return;
    this.#ended = true;
    this.#release();
    this.push(null);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #release(): void {
    this.#stopTimer();
    this.#pipe.off('data', this.#onData);
    this.#pipe.pause();
  }
}
