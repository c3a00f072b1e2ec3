/**
 * Reads of a socket in buffers that are used again. Node makes 64 KiB for each read, however little comes, and V8 collects its whole heap for every
 * 64 MB of them: in a bulk copy that takes more time than the copy.
 */
import { Socket } from 'node:net';

/** As much as the event loop reads at once. */
const BUFFER_BYTES = 1 << 16;

/** Sees what was read. The bytes are good until it returns, and as long as a piece of them is held: see {@link RecycledReads.hold}. */
export type Reader = (bytes: Buffer) => void;

interface Lent {
  readonly buffer: Buffer;
  holders: number;
}

/** A socket without TLS, and its buffers. Until a reader takes over it gives `data` events as any other. */
export class RecycledReads {
  readonly socket: Socket;
  #reader: Reader | null = null;
  #free: Buffer[] = [];
  /** By the memory that pieces of a buffer share with it. */
  readonly #lent = new Map<ArrayBufferLike, Lent>();

  constructor() {
    const buffer = (): Buffer => this.#free.pop() ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.socket = new Socket({ onread: { buffer, callback: (length, read) => this.#see(read as Buffer, length) } });
  }

  /** All that is read goes to `reader`, and no `data` event comes; null: as before. Forgets what is still held. */
  readBy(reader: Reader | null): void {
    this.#reader = reader;
    this.#lent.clear();
    if (reader === null) this.#free = [];
  }

  /** Keeps the memory of a piece of what the reader sees until {@link release}. Bytes of other memory are no matter. */
  hold(piece: Buffer): void {
    const lent = this.#lent.get(piece.buffer);
    if (lent !== undefined) lent.holders += 1;
  }

  /** Nobody looks at a piece any more. To be called once for each {@link hold}. */
  release(piece: Buffer): void {
    const lent = this.#lent.get(piece.buffer);
    if (lent === undefined) return;
    lent.holders -= 1;
    if (lent.holders > 0) return;
    this.#lent.delete(piece.buffer);
    this.#free.push(lent.buffer);
  }

  #see(buffer: Buffer, length: number): boolean {
    const bytes = buffer.subarray(0, length);
    if (this.#reader === null) {
      const copied = Buffer.from(bytes);
      this.#free = [buffer];
      return this.socket.push(copied);
    }
    this.#lent.set(buffer.buffer, { buffer, holders: 1 });
    this.#reader(bytes);
    this.release(bytes);
    return true;
  }
}
