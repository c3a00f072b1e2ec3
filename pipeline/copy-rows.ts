import { createHash, type Hash } from 'node:crypto';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { RowRead } from '../connectors/connector.ts';
import { openCopyIn } from '../destinations/postgres/copy-in.ts';
import type { Session } from '../destinations/postgres/destination.ts';
import { TidemarkError } from '../schemas/errors.ts';
import type { OnProgress } from './engine.ts';

/** Bytes that may wait between source and destination; what bounds the memory of a copy, whatever the size of the table. */
const BUFFER_BYTES = 1 << 20;

export interface Copied {
  readonly rows: number;
  readonly bytes: number;
  /** SHA-256 of the rows' bytes as they were sent, hex; where both ends are PostgreSQL, with the framing that the source gave them. */
  readonly hash: string;
}

/**
 * Streams rows from the source into `copyInSql`'s COPY, with back-pressure from end to end, through `mask` where there is one: what is counted,
 * hashed and sent is what came out of it. `null` says that no column of these rows is to be masked: it is never a default.
 * Throws `batch.equation` where the destination took another number of rows than left the source.
 */
export async function copyRows(read: RowRead, session: Session, copyInSql: string, signal: AbortSignal, onProgress: OnProgress, mask: Transform | null): Promise<Copied> {
  const frames = mask === null ? read.keepFrames?.((bytes, payload) => meter.see(bytes, payload)) : undefined;
  const meter = new Meter(onProgress, frames?.recycled ?? false);
  const into = openCopyIn(session, copyInSql, frames?.onSent);
  await pipeline([read.stream, ...(mask === null ? [] : [mask]), ...(frames === undefined ? [meter.through()] : []), into], { signal });
  const left = read.rowsRead();
  if (into.rowCount !== left) {
    throw new TidemarkError('batch.equation', `The source sent ${left} rows, the destination took ${into.rowCount}; nothing was committed.`);
  }
  return { rows: left, bytes: meter.bytes, hash: meter.digest() };
}

/**
 * Keeps an error of the source for {@link copyRows}. Between the opening of a read and its copy lies a wait for the destination; an error
 * that nobody listens to then would end the whole process.
 */
export function keepError<R extends RowRead>(read: R): R {
  read.stream.on('error', () => undefined);
  return read;
}

/** Counts and hashes what passes. */
class Meter {
  bytes = 0;
  readonly #hash: Hash = createHash('sha256');
  readonly #onProgress: OnProgress;
  readonly #recycled: boolean;

  constructor(onProgress: OnProgress, recycled: boolean) {
    this.#onProgress = onProgress;
    this.#recycled = recycled;
  }

  see(bytes: Buffer, payload: number): void {
    this.bytes += payload;
    this.#hash.update(bytes);
    this.#onProgress({ bytes: this.bytes, garbage: this.#recycled ? 0 : this.bytes });
  }

  through(): Transform {
    return new Transform({
      highWaterMark: BUFFER_BYTES,
      transform: (chunk: Buffer, _encoding, done) => {
        this.see(chunk, chunk.length);
        done(null, chunk);
      },
    });
  }

  digest(): string {
    return this.#hash.digest('hex');
  }
}
