/**
 * COPY out at the level of the protocol's messages (PostgreSQL's documentation, "COPY Operations" and "Message Formats"): takes over the connection's
 * bytes while rows come, and gives them back to the driver for what follows.
 */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { Connection, Submittable } from 'pg';
import type { KeptFrames } from '../connector.ts';
import type { RecycledReads } from './recycled-reads.ts';

/** A message's code and length; the length counts itself, not the code. */
const HEADER_BYTES = 5;
const COPY_DATA = 0x64;
const COPY_DONE = 0x63;
const ERROR_RESPONSE = 0x45;

/** Sees the messages of rows as the server framed them, however the network cut them. `payload`: how many of the bytes are not framing. */
export type FrameTap = (bytes: Buffer, payload: number) => void;

type DataListener = (chunk: Buffer) => void;

interface CopyOutEvents {
  /** Bytes of rows, cut anywhere; with frames, whole messages. */
  readonly data: [bytes: Buffer];
  /** All rows have come; the end of the statement follows. */
  readonly end: [];
  readonly error: [error: unknown];
}

/** Messages of rows that lie side by side in a chunk, after `rest` bytes of one that began before it. */
interface Run {
  readonly from: number;
  readonly rest: number;
  headers: number;
  /** Where the last of them begins. */
  last: number;
}

/** `COPY … TO STDOUT`, for the driver's `query`. Paused until {@link resume}. */
export class CopyOutQuery extends EventEmitter<CopyOutEvents> implements Submittable {
  /** From the command tag: known when the statement after this one is answered. */
  rowCount = 0;
  readonly #text: string;
  /** Of the session's socket, where it has them. */
  readonly #reads: RecycledReads | null;
  #tap: FrameTap | null = null;
  #socket: Socket | null = null;
  #paused = true;
  /** The driver's own listeners. */
  #readers: DataListener[] = [];
  /** Start of a message whose header has not come whole. */
  #head: Buffer | null = null;
  #code = 0;
  /** Bytes of the current message that have not come. */
  #missing = 0;
  readonly #onData = (chunk: Buffer): void => this.#take(this.#head === null ? chunk : Buffer.concat([this.#head, chunk]));

  constructor(text: string, reads: RecycledReads | null = null) {
    super();
    this.#text = text;
    this.#reads = reads;
  }

  /** Rows come as whole CopyData messages, which another server takes as they are. To be called before {@link resume}. */
  keepFrames(tap: FrameTap): KeptFrames {
    this.#tap = tap;
    return { onSent: (bytes) => this.#reads?.release(bytes), recycled: this.#reads !== null };
  }

  pause(): void {
    this.#paused = true;
    this.#socket?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#socket?.resume();
  }

  submit(connection: Connection): void {
    const socket = connection.stream as Socket;
    this.#readers = socket.listeners('data') as DataListener[];
    for (const reader of this.#readers) socket.off('data', reader);
    this.#socket = socket;
    if (this.#reads === null) socket.on('data', this.#onData);
    else this.#reads.readBy(this.#onData);
    if (this.#paused) socket.pause();
    connection.query(this.#text);
  }

  handleCommandComplete({ text }: { readonly text: string }): void {
    this.rowCount = Number(/^COPY (\d+)/.exec(text)?.[1] ?? 0);
  }

  handleReadyForQuery(): void {}

  handleError(error: unknown): void {
    this.#handBack(null);
    this.emit('error', error);
  }

  #take(chunk: Buffer): void {
    this.#head = null;
    const rest = Math.min(this.#missing, chunk.length);
    let run: Run = this.#code === COPY_DATA ? { from: 0, rest, headers: 0, last: 0 } : { from: rest, rest: 0, headers: 0, last: 0 };
    let at = rest;
    while (chunk.length - at >= HEADER_BYTES) {
      const code = chunk[at]!;
      const end = at + 1 + chunk.readUInt32BE(at + 1);
      if (code === COPY_DATA) {
        run.headers += 1;
        run.last = at;
      } else {
        this.#give(chunk, run, at);
        if (code === ERROR_RESPONSE) return this.#handBack(chunk.subarray(at));
        if (code === COPY_DONE) return this.#finish(chunk.subarray(end));
        run = { from: end, rest: 0, headers: 0, last: 0 };
      }
      this.#code = code;
      at = end;
    }
    this.#missing = at > rest ? Math.max(0, at - chunk.length) : this.#missing - rest;
    if (at < chunk.length) this.#head = Buffer.from(chunk.subarray(at));
    this.#give(chunk, run, at);
  }

  /** Passes the messages of a run on. It ends at `end`, which may lie beyond the chunk: its last message is cut then. */
  #give(chunk: Buffer, { from, rest, headers, last }: Run, end: number): void {
    const to = Math.min(end, chunk.length);
    if (to <= from) return;
    if (this.#tap === null) return void this.emit('data', withoutFrames(chunk, from, rest, to));
    this.#tap(chunk.subarray(from, to), to - from - headers * HEADER_BYTES);
    // A cut message goes as two, so that what was sent is whole at any moment, even if nothing follows.
    if (end > to) chunk.writeUInt32BE(to - last - 1, last + 1);
    if (rest > 0) this.emit('data', framed(chunk.subarray(from, from + rest)));
    if (from + rest === to) return;
    const messages = chunk.subarray(from + rest, to);
    this.#reads?.hold(messages);
    this.emit('data', messages);
  }

  #finish(next: Buffer): void {
    this.#handBack(next);
    this.emit('end');
  }

  /** The driver reads on from `next`. */
  #handBack(next: Buffer | null): void {
    const socket = this.#socket;
    if (socket === null) return;
    this.#socket = null;
    socket.off('data', this.#onData);
    this.#reads?.readBy(null);
    for (const reader of this.#readers) socket.on('data', reader);
    // The driver may keep a part of it, and the memory is used again.
    if (next !== null && next.length > 0) for (const reader of this.#readers) reader.call(socket, Buffer.from(next));
    socket.resume();
  }
}

/** One CopyData message of these bytes. */
function framed(bytes: Buffer): Buffer {
  const message = Buffer.allocUnsafe(HEADER_BYTES + bytes.length);
  message[0] = COPY_DATA;
  message.writeUInt32BE(message.length - 1, 1);
  bytes.copy(message, HEADER_BYTES);
  return message;
}

function withoutFrames(chunk: Buffer, from: number, rest: number, to: number): Buffer {
  const bare = Buffer.allocUnsafe(to - from);
  let length = chunk.copy(bare, 0, from, from + rest);
  for (let at = from + rest; at < to; ) {
    const end = at + 1 + chunk.readUInt32BE(at + 1);
    length += chunk.copy(bare, length, at + HEADER_BYTES, Math.min(end, to));
    at = end;
  }
  return bare.subarray(0, length);
}
