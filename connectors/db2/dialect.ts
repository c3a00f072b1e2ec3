/** What differs between the servers that speak this protocol. Chosen by what the server says it is, see `session.ts`. */
import type { TableName } from './names.ts';
import type { Row } from './reader-client.ts';
import type { ValueKind } from './reader-protocol.ts';
import type { NativeColumn, NativeType } from './types.ts';

/** Runs one catalog statement; rows beyond `rowsMax` are left. */
export type Query = (sql: string, params?: readonly string[], rowsMax?: number) => Promise<readonly Row[]>;

/** How a column's value is selected so that the driver hands it over exactly. */
export interface ValueRead {
  readonly sql: string;
  readonly kind: ValueKind;
  /** The value's length in UTF-16 units or bytes, where the driver could cut it; else null. */
  readonly lengthSql: string | null;
  /** Bytes that one value takes in the driver's block buffer. */
  readonly width: number;
  /** Too long for block fetches. */
  readonly long: boolean;
  /** Selects `pieceLength` units from a one-based start, which `start` stands for; null where the value comes whole. */
  readonly rest: { readonly pieceLength: number; readonly sql: (start: string) => string } | null;
}

export interface CatalogTable extends TableName {
  readonly kind: 'table' | 'view' | 'partitioned' | 'other';
  readonly identity: string;
  readonly rowEstimate: number;
  readonly bytesEstimate: number;
}

export interface CatalogColumn extends NativeColumn {
  readonly schema: string;
  readonly table: string;
}

export interface CatalogIndex {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly string[];
  readonly use: 'primary' | 'unique' | 'other';
}

/** Other sessions' transactions that have written and are not yet committed. */
export interface OpenTransactions {
  /** When the oldest began, by the source's clock; null where there is none, or the source does not tell. */
  readonly oldest: string | null;
  /** Names that no two transactions share, where the source does not tell when they began. */
  readonly ids: readonly string[];
  /** The source's clock after the bound was frozen. */
  readonly at: string;
}

export interface ServerSession {
  readonly user: string;
  readonly schema: string;
  /** The same as long as it is the same database. */
  readonly identity: string;
  /** Minutes by which the source's clock is ahead of UTC. */
  readonly offsetMinutes: number;
}

/** What a server that has gone back to an earlier day has less of, or another of; null where it does not tell this user. */
export interface ServerMarks {
  /** Another text after the database was started again. */
  readonly started: string | null;
  /** How much the database has logged: it only grows. Digits. */
  readonly log: string | null;
}

export interface Dialect {
  readonly product: string;
  /** Ends each read: its isolation. Never uncommitted read, which would load rows that are rolled back. */
  readonly readSuffix: string;
  /** One row: the source's clock as text. */
  readonly clockSql: string;
  /** Null: the type is refused. */
  valueRead(column: NativeColumn): ValueRead | null;
  /** A `?` that is bound to a value's text, as a value of the type. */
  parameter(type: NativeType): string;
  session(query: Query): Promise<ServerSession>;
  /** Of one table, or of all that are not the server's own. */
  tables(query: Query, table: TableName | null): Promise<readonly CatalogTable[]>;
  columns(query: Query, table: TableName | null): Promise<readonly CatalogColumn[]>;
  indexes(query: Query, table: TableName | null): Promise<readonly CatalogIndex[]>;
  /** Null: the source does not tell this user. */
  openTransactions(query: Query): Promise<OpenTransactions | null>;
  serverMarks(query: Query): Promise<ServerMarks>;
  /** The next value of the table's identity column, or of a block of them: it only grows, save by hand. Digits; null where there is none. */
  counter(query: Query, table: TableName): Promise<string | null>;
}

const TEXT_UNIT_BYTES = 2;

/** Width of a text of at most `units` UTF-16 units, with its end mark. */
export const textWidth = (units: number): number => (units + 1) * TEXT_UNIT_BYTES;

export function plain(sql: string, units: number, kind: ValueKind = 'plain'): ValueRead {
  return { sql, kind, lengthSql: null, width: textWidth(units), long: false, rest: null };
}

export function numeric(sql: string): ValueRead {
  return { sql, kind: 'number', lengthSql: null, width: 8, long: false, rest: null };
}

export const cellText = (cell: Row[number] | undefined): string => (cell === null || cell === undefined ? '' : String(cell).trimEnd());

/** The leading digits of a cell; null where there are none. */
export const cellDigits = (cell: Row[number] | undefined): string | null => /^\d+/.exec(cellText(cell))?.[0] ?? null;

export const cellNumber = (cell: Row[number] | undefined): number => (cell === null || cell === undefined || cell === '' ? -1 : Number(cell));
