/**
 * A position says how far a reading got. Only the connector that wrote it reads or compares it; everybody else stores it,
 * hands it back, and shows `display`.
 *
 * All values in it are the server's own text: a position never holds a JavaScript number made of a source's value.
 */
export interface Position {
  /** The server and the table the position was taken on; a connector refuses one of another (`source.history_lost`). */
  readonly server: string;
  readonly table: string;
  /** The cursor value as the source prints it, in UTC and ISO form for time cursors; null before the first row or without a cursor. */
  readonly display: string | null;
  /** The connector's own state. JSON, strings only where values of the source are concerned. */
  readonly state: Readonly<Record<string, unknown>>;
}

/** How strong the promise "no row is lost" is for a stream, as `status` prints it. */
export type Guarantee =
  | 'exact'
  /** Holds for transactions not older than the overlap, e.g. `within 60s`. */
  | `within ${number}s`
  /** Every run reads the whole table. */
  | 'full refresh';

/** One half-open part of a table, cut by key; opaque outside its connector, kept in the destination's range table. */
export interface Part {
  /** Null: from the first, to the last key. Values as the source's own text, one for each key column. */
  readonly from: readonly string[] | null;
  readonly to: readonly string[] | null;
  readonly rowEstimate: number;
}
