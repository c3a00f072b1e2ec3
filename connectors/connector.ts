/**
 * The contract of a connector: read this first.
 *
 * A connector lives in one folder (`connectors/<kind>/`) and knows its driver, never Temporal, never the destination.
 * - `manifest.ts` is pure: it loads without the driver, so validation, documentation and forms work where it is missing.
 * - `types.ts` is its one type table: native type → PostgreSQL type, lossless or refused.
 * - `errors.ts` turns the driver's errors into {@link TidemarkError}s, by code, never by message text where a code exists.
 * - `session.ts` implements {@link SourceSession}; other files are named for their role (`catalog.ts`, `range.ts`, ...).
 *
 * Rows leave a connector as the bytes of PostgreSQL's COPY protocol, so that a source which can produce them
 * passes them through untouched and no row becomes a JavaScript object.
 */
import type { Readable } from 'node:stream';
import type { z } from 'zod';
import type { Digest, DigestPlan } from '../schemas/comparison.ts';
import type { Guarantee, Part, Position } from '../schemas/position.ts';
import type { ServerFacts, TableShape } from '../schemas/table.ts';
import type { LineLimits } from './silent-line.ts';

export type { Part } from '../schemas/position.ts';

/** What code outside a connector's folder may ask instead of its name. */
export interface Capabilities {
  /** The source folds unquoted names to upper case, so targets are folded to lower case. */
  readonly foldsToUpper: boolean;
  /** `copy-binary`: rows can be had in COPY's binary format, for types equal at both ends. All connectors can do `copy-text`. */
  readonly formats: readonly ('copy-text' | 'copy-binary')[];
  /**
   * A text column may serve as a cursor: the connector sees by row versions what the order of text does not tell. Default: false, and a
   * stream whose cursor is text is read whole each time.
   */
  readonly textCursors?: boolean;
  /** The connector's own native driver needs a task queue of its own (it may block or crash a process). */
  readonly ownQueue: boolean;
}

export interface ConnectorManifest<Connection = unknown> {
  /** The word in `kind:`; also the folder's name. */
  readonly kind: string;
  /** Other spellings accepted in `kind:` and `db_type:`, lower case. */
  readonly aliases: readonly string[];
  readonly title: string;
  readonly defaultPort: number | null;
  /** Strict schema of `connection:`. Secret fields are plain strings here; {@link secretFields} names them. */
  readonly connectionSchema: z.ZodType<Connection>;
  readonly secretFields: readonly string[];
  readonly capabilities: Capabilities;
  /** What to type when the driver is missing: `npm install ibm_db@4.0.1`. */
  readonly driverInstall: string;
  /** Loads the driver. Throws `source.driver_missing` where it is absent. */
  load(): Promise<Connector<Connection>>;
}

export interface Connector<Connection = unknown> {
  /**
   * Opens one session. Read-only by every means the server has; time zone, date style and encoding pinned.
   * Throws `source.unreachable`, `source.host_unknown`, `source.auth_failed`, `source.database_missing`, `source.tls_failed`.
   */
  connect(connection: Connection, options: SessionOptions): Promise<SourceSession>;
}

export interface SessionOptions {
  /** Shown in the source's session list: `tidemark <source id>`. */
  readonly applicationName: string;
  readonly connectTimeoutMs: number;
  readonly statementTimeoutMs: number;
  /** When a silent line is looked at. Default: {@link LINE_LIMITS}. */
  readonly lines?: LineLimits;
  /** Aborting cancels the running statement on the server (not only the socket) and fails the pending call. */
  readonly signal: AbortSignal;
}

/** How a stream is read; made from its settings and its {@link TableShape}. */
export interface StreamRead {
  readonly table: TableShape;
  /** Names of the source columns to read, in the order of the stage. */
  readonly columns: readonly string[];
  /** Key columns; empty for a keyless table, which is then only read whole. */
  readonly key: readonly string[];
  /** Null: every read is a full one. */
  readonly cursor: string | null;
  readonly overlapSeconds: number;
  readonly futureLimitSeconds: number;
  /** Rows per fetch from the source, where its protocol fetches. */
  readonly fetchRows: number;
  /** The stream's `types:` setting: choices between faithful representations, e.g. `{ zero_dates: 'text' }`. */
  readonly types: Readonly<Record<string, string>>;
}

/** Bounds of one batch. What commits together is bounded by rows (bytes and seconds stop a running read where the connector can). */
export interface BatchLimits {
  readonly rowsMax: number;
  /**
   * The batch may end after about so many rows, if the next one can be read beside it: {@link IncrementalRead.short}. A connector that finds no such end cheaply
   * pays no heed to it.
   */
  readonly rowsWanted?: number;
  /** A range with more than `rowsMax` rows will not be read: a connector that is spared work by it throws `source.batch_overfull` and looks for no end of the batch. */
  readonly wholeOnly?: boolean;
}

/** Bounds of one part of a full build. */
export interface PartLimits extends BatchLimits {
  /** True where nobody asked for this bound: a connector that better reads a table whole may go beyond it. */
  readonly isUsual?: boolean;
}

/** `copy-binary` only if the connector lists it and the target's types equal the source's. */
export type RowFormat = 'copy-text' | 'copy-binary';

/**
 * Rows on their way: one statement, one snapshot.
 *
 * In `copy-text` the bytes are rows of COPY text without header or end marker: one field for each of `columns`, in order.
 * If {@link marksRejects} is true each row has two more fields: a JSON array `[{"column","code"}]` of what the source's value
 * breaks (or `\N`), and for such a row a JSON object of all its values as text (or `\N`); the offending and all other columns
 * of a rejected row are `\N`.
 */
export interface RowRead {
  readonly format: RowFormat;
  readonly marksRejects: boolean;
  /** Pull-driven. Destroying it cancels the statement at the source. */
  readonly stream: Readable;
  /** Rows that left, known when the stream has ended. */
  rowsRead(): number;
  /**
   * Where the source speaks PostgreSQL's own protocol: `stream` then yields the rows in whole CopyData messages, as another PostgreSQL takes them, and
   * nobody has to take them apart. To be called before the stream is read. `tap` sees the messages as the source framed them, however they are cut on
   * the way; `payload` is how many of their bytes are not framing.
   */
  readonly keepFrames?: (tap: (bytes: Buffer, payload: number) => void) => KeptFrames;
}

/** Rows in the messages of their source. */
export interface KeptFrames {
  /** To be called with each chunk of the stream once it was sent. */
  readonly onSent: (chunk: Buffer) => void;
  /** The memory of a chunk is used again once it was sent; else it becomes garbage. */
  readonly recycled: boolean;
}

/** A range that an incremental read is about to read. */
export interface IncrementalRead extends RowRead {
  /** Where the stream is complete once this batch is loaded. */
  readonly to: Position;
  /** True if the frozen bound of this run lies beyond `to`: another batch follows at once. */
  readonly more: boolean;
  /**
   * Its end was chosen for {@link BatchLimits.rowsWanted}, without a count: where more than `rowsMax` rows come the stream fails with `source.batch_overfull`,
   * and the batch has to be read without that wish. Default: false.
   */
  readonly short?: boolean;
  readonly guarantee: Guarantee;
  /** Rows whose cursor lies beyond the source's clock + futureLimit: read, and read again each run. */
  readonly futureRows: number;
  /** The source's clock when the snapshot was taken, ISO 8601 UTC. */
  readonly asOf: string;
}

/** How to build a whole table: parts, each read in a snapshot of its own, and the position they make complete. */
export interface FullPlan {
  readonly parts: readonly Part[];
  /**
   * Taken from a snapshot earlier than that of any part. Reading on from it incrementally brings every row that
   * changed while the parts were read. For a stream without cursor it only serves {@link SourceSession.poll}.
   */
  readonly position: Position;
  readonly guarantee: Guarantee;
  readonly asOf: string;
}

/** A half-open range of cursor values. */
export interface SliceBounds {
  readonly from: string;
  readonly to: string;
}

export interface SliceRead extends RowRead {
  /** The source's clock when the snapshot was taken, ISO 8601 UTC. */
  readonly asOf: string;
}

/** Comparing rows inside the source: an ability that a session may have. Calls follow each other in this order, all in the snapshot of `digest`. */
export interface SourceComparison {
  /**
   * How rows of the stream can be hashed here; null where a column has no canonical text, and rows are compared through the extract.
   * `targetTypes` has the target's actual type for each of `stream.columns`, as `format_type` prints it.
   */
  plan(stream: StreamRead, targetTypes: readonly string[]): Promise<DigestPlan | null>;
  /** One pass over the table in a new snapshot, which stays open for {@link keys}. `buckets` is a power of two. */
  digest(stream: StreamRead, plan: DigestPlan, buckets: number): Promise<Digest>;
  /** The key columns and the two hashes of each row in the chosen buckets, as COPY text. The snapshot ends with the stream. */
  keys(stream: StreamRead, plan: DigestPlan, buckets: number, chosen: readonly number[]): Promise<RowRead>;
}

/** One connection to a source. Not for concurrent use: one call at a time; whoever opened it closes it. */
export interface SourceSession {
  server(): Promise<ServerFacts>;

  /** All tables and views that the user may read. */
  discover(): Promise<readonly TableShape[]>;

  /**
   * One table by the name as written in the file, its types chosen by the stream's `types:` setting: first exactly, then as the source's quoted or unquoted `schema.name`.
   * Throws `source.table_missing`, `source.table_ambiguous`, `source.privilege_missing`, `source.type_unsupported`.
   */
  describe(table: string, types?: Readonly<Record<string, string>>): Promise<TableShape>;

  /**
   * The cheap question: may there be a row that a read from `position` would return and that was not read before?
   * `false` is a promise; when in doubt it answers true. Throws `source.history_lost` like {@link readFrom}.
   */
  poll(stream: StreamRead, position: Position): Promise<boolean>;

  /**
   * Opens the next batch of an incremental read (`stream.cursor` is set).
   *
   * The first batch of a run (`position` has no open bound) freezes the run's upper bound; bound and rows come from one snapshot.
   * Lower bound inclusive on the cursor, reaching back for transactions that were open at the last run. NULL cursors and cursors
   * beyond the future limit are read once in each run. Each row at most once in a batch.
   *
   * A pure function of (position, state of the source): may be called again with the same position after any crash.
   * `position` null starts before the first row.
   * Throws `source.history_lost` where the position is of another server or table, or lies beyond what the source has.
   */
  readFrom(stream: StreamRead, position: Position | null, limits: BatchLimits, format: RowFormat): Promise<IncrementalRead>;

  /** Cuts the table for a full build. A keyless table is one part. */
  planFull(stream: StreamRead, limits: PartLimits): Promise<FullPlan>;

  /**
   * Opens one part in a snapshot of its own. With `fail` a connector that marks rejected rows may leave the marks out (`marksRejects` false) and
   * fail at the first such row with `source.row_refused`; the part is then read again with marks. Default: `mark`.
   */
  readPart(stream: StreamRead, part: Part, format: RowFormat, onReject?: 'mark' | 'fail'): Promise<RowRead>;

  /** Absent: rows are compared through the extract. */
  readonly comparison?: SourceComparison;

  /**
   * Fingerprint of what a read of the whole stream looks through: the table or view and its definition, policies on rows, the user. Where it changes,
   * rows that are missing may only be hidden. No name and no text of the source can be told from it. Absent: the source can't tell.
   */
  scanScope?(stream: StreamRead): Promise<string>;

  /**
   * The rows of these keys, in a snapshot of its own; a key that is not there has no row. Values are one text for each of `stream.key`, as the
   * target prints them in JSON. At most a few thousand keys at once. Absent: the whole table is read instead.
   */
  readKeys?(stream: StreamRead, keys: readonly (readonly string[])[], format: RowFormat): Promise<RowRead>;

  /**
   * The rows with `from <= cursor < to`, in a snapshot of its own that is taken when this returns. Bounds are values of the cursor as text: of a
   * time `YYYY-MM-DD` or `YYYY-MM-DD HH:MM:SS[.fraction]`, in UTC where the column has a zone and else in its own terms; of a number its digits.
   * Throws `usage.invalid` for a text that is no value of the cursor's type. Absent: the stream can't be backfilled.
   */
  readSlice?(stream: StreamRead, range: SliceBounds, format: RowFormat): Promise<SliceRead>;

  /** Releases everything within a bounded time; never throws; safe to call twice and after a failure. */
  close(): Promise<void>;
}
