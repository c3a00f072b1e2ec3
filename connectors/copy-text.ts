/** COPY's text format: how values are written in it, and a pull-driven stream of its rows. */
import { Readable } from 'node:stream';

/** A field that is SQL NULL. */
export const COPY_NULL = '\\N';

const NEEDS_ESCAPE = /[\\\t\n\r]/;
const EACH_TO_ESCAPE = /[\\\t\n\r]/g;
const ESCAPED: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** A text as one field. Text that PostgreSQL cannot hold (see {@link textDefect}) has no form in it. */
export function escapeCopyText(text: string): string {
  return NEEDS_ESCAPE.test(text) ? text.replace(EACH_TO_ESCAPE, (character) => ESCAPED[character] as string) : text;
}

/** Bytes as one field of type bytea. */
export function copyBytes(bytes: Buffer): string {
  return `\\\\x${bytes.toString('hex')}`;
}

/** What keeps a text from being UTF-8 that PostgreSQL takes: U+0000, or half of a surrogate pair. */
export type TextDefect = 'text.nul' | 'text.not_unicode';

export function textDefect(text: string): TextDefect | null {
  if (text.includes('\u0000')) return 'text.nul';
  return text.isWellFormed() ? null : 'text.not_unicode';
}

/**
 * A stream of the chunks, each pulled when the reader asks for it: nothing is read ahead but one chunk.
 * Destroying the stream before its end calls `cancel`, which makes a pending pull fail, and then ends `chunks`.
 */
export function copyStream(chunks: AsyncGenerator<Buffer>, cancel: () => Promise<void>): Readable {
  let pulling: Promise<unknown> = Promise.resolve();
  let ended = false;
  return new Readable({
    read() {
      pulling = chunks.next().then(
        ({ done, value }) => {
          ended = done === true;
          this.push(done === true ? null : value);
        },
        (error: Error) => {
          ended = true;
          this.destroy(error);
        },
      );
    },
    destroy(error, callback) {
      const stop = async (): Promise<void> => {
        if (ended) return;
        await cancel();
        await pulling;
        await chunks.return(undefined);
      };
      stop().then(
        () => callback(error),
        () => callback(error),
      );
    },
  });
}
