/** The part of pg-copy-streams that is used; the package brings no types of its own. */
declare module 'pg-copy-streams' {
  import type { Readable, ReadableOptions, Writable, WritableOptions } from 'node:stream';
  import type { Connection, Submittable } from 'pg';

  interface CopyToQuery extends Readable, Submittable {
    /** From the command tag; set when the statement is complete, which may be after `end`. */
    rowCount: number;
  }

  interface CopyFromQuery extends Writable, Submittable {
    /** From the command tag; set when the stream has finished. */
    rowCount: number;
    readonly connection: Connection;
    /** Sends what was written as one CopyData message; returns false where the socket's buffer is full. */
    flushChunk(chunk: Buffer): boolean;
  }

  const copyStreams: {
    to(text: string, options?: ReadableOptions): CopyToQuery;
    from(text: string, options?: WritableOptions): CopyFromQuery;
  };
  export default copyStreams;
}
