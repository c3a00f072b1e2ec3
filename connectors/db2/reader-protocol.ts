/**
 * What a session and its reader process say to each other over IPC. Rows don't pass here: they go over a pipe as COPY text.
 * Errors carry codes only: the driver's messages quote values.
 */

/** How a value that the driver hands over becomes COPY text. */
export type ValueKind =
  /** A JavaScript number that holds the value exactly: integers of 32 bits, floating point numbers. */
  | 'number'
  /** Text that needs no escaping. */
  | 'plain'
  /** `2024-02-29-23.59.59.123456`. */
  | 'timestamp'
  /** A timestamp as PostgreSQL reads it, refused where it has digits beyond microseconds. */
  | 'microseconds'
  | 'decfloat'
  | 'text'
  | 'bytes';

export interface ColumnSpec {
  readonly name: string;
  readonly kind: ValueKind;
  /** Place of the value in the row that the driver returns. */
  readonly at: number;
  /** Place of its length as the server counts it (UTF-16 units or bytes), -1 where none is selected. */
  readonly lengthAt: number;
  /** The server converts from another code page and may have put substitutes in. */
  readonly converted: boolean;
  /** Reads the rest of a long value; null where the value always comes whole. */
  readonly rest: RestOfValue | null;
}

/** One statement that selects `pieceLength` UTF-16 units; its parameters are the one-based start and the key's values. */
export interface RestOfValue {
  readonly sql: string;
  readonly pieceLength: number;
  /** Places of the key's values among the columns. */
  readonly key: readonly number[];
}

export interface Statement {
  readonly sql: string;
  readonly params: readonly string[];
}

export interface ReadRequest {
  /** Run one after another; each selects the same columns. */
  readonly statements: readonly Statement[];
  readonly columns: readonly ColumnSpec[];
  /** Rows per fetch; 1 fetches row by row, which is how long values come whole. */
  readonly blockRows: number;
  /** Rows carry the two fields that mark rejected ones; else the first such row fails the read. */
  readonly marks: boolean;
}

export type ReaderRequest =
  | { readonly id: number; readonly op: 'open'; readonly driver: string; readonly connectionString: string }
  | { readonly id: number; readonly op: 'query'; readonly sql: string; readonly params: readonly string[]; readonly rowsMax: number; readonly timeoutSeconds: number }
  | { readonly id: number; readonly op: 'digest'; readonly read: ReadRequest; readonly timeoutSeconds: number }
  | { readonly id: number; readonly op: 'read'; readonly read: ReadRequest; readonly timeoutSeconds: number }
  | { readonly id: number; readonly op: 'close' };

export interface NativeError {
  readonly sqlcode: number | null;
  readonly sqlstate: string | null;
  /** Set where the reader, not the driver, found the fault. */
  readonly fault: 'driver_load' | 'rows_missing' | 'value_changed' | 'row_refused' | 'crash' | null;
}

export interface ServerAnswer {
  readonly product: string;
  readonly version: string;
  readonly database: string;
}

export interface DigestAnswer {
  readonly rows: number;
  readonly digest: string;
}

/** `opened`: the first statement of a read has been executed. `done`: all its bytes are on the pipe. */
export type ReaderReply =
  | { readonly id: number; readonly event: 'answer'; readonly value: unknown }
  | { readonly id: number; readonly event: 'opened' }
  | { readonly id: number; readonly event: 'done'; readonly rows: number; readonly bytes: number }
  | { readonly id: number; readonly event: 'failed'; readonly error: NativeError };

/** File descriptor of the pipe in the reader's process. */
export const ROWS_FD = 4;
