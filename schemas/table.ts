/** The shape of a table, the same for every connector and for the destination. Pure data, safe to store as JSON. */

/** One column as the source has it and as the target will have it. */
export interface Column {
  /** Exactly as the source's catalog has it. */
  readonly name: string;
  /** Name in the target: folded, shortened or suffixed where the source's name can't stand; shown by `plan` where it differs. */
  readonly targetName: string;
  /** The source's own spelling of the type, modifiers included: `decimal(12,2) unsigned`. */
  readonly nativeType: string;
  /** PostgreSQL type with modifiers, as `format_type` prints it: `numeric(12,2)`; what the target column is created with. */
  readonly pgType: string;
  readonly nullable: boolean;
  /**
   * What may serve as a cursor: `time` follows a clock, `number` a counter, `text` only an order, `none` has no usable order.
   */
  readonly order: 'time' | 'number' | 'text' | 'none';
  /** Said by `plan` where the mapping changes the type's nature: `enum kept as text`. */
  readonly note?: string;
}

/** A table, view or collection of a source, as `discover` and `describe` return it. */
export interface TableShape {
  readonly schema: string;
  readonly name: string;
  readonly kind: 'table' | 'view' | 'partitioned' | 'other';
  /**
   * Identity of the table on that server (an OID, a creation time, ...) such that a table dropped and made again under
   * the same name differs; empty where the source can't tell.
   */
  readonly identity: string;
  readonly columns: readonly Column[];
  /** Column names of the primary key, or of a unique index over NOT NULL columns; empty where there is none. */
  readonly key: readonly string[];
  /** First columns of the table's indexes, for proposing a cursor. */
  readonly indexedColumns: readonly string[];
  /** Estimate from the source's statistics; -1 where unknown. */
  readonly rowEstimate: number;
  /** Size in bytes by the source's statistics; -1 where unknown. */
  readonly bytesEstimate: number;
}

/** What a server says of itself, for `check`. */
export interface ServerFacts {
  readonly product: string;
  readonly version: string;
  readonly database: string;
  readonly user: string;
  readonly timezone: string;
  /** Identity of the server's data: two servers, or a server and its restored copy, differ wherever the source can tell. */
  readonly identity: string;
  /** Missing privileges and what each costs: `no pg_read_all_stats: …`. */
  readonly warnings: readonly string[];
  /** How the source is read where the server leaves a choice, and what the other way takes. No trouble. */
  readonly notes?: readonly string[];
}
