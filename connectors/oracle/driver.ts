/**
 * The part of `oracledb` that this connector uses. Tests put a recorder, or a stand-in server, in its place; that the real
 * driver has this shape is a test too.
 */

/** One of the driver's type constants; opaque here. */
export interface OracleDbType {
  readonly num: number;
  readonly name: string;
}

/** Loaded as a locator: what is read of it is asked for piece by piece. */
export interface OracleLob {
  /** Bytes of a BLOB, UTF-16 code units of a CLOB. */
  readonly length: number;
  /** `offset` counts from 1. */
  getData(offset: number, amount: number): Promise<string | Buffer | null>;
  destroy(): void;
}

export type OracleValue = string | number | boolean | Buffer | OracleLob | null;
export type OracleRow = readonly OracleValue[];

/** A value of which a text can be made as it is: no LOB. */
export function shortText(value: OracleValue): string | null {
  if (value === null) return null;
  if (typeof value === 'object') throw new TypeError('a LOB or bytes where text was asked for');
  return String(value);
}

export interface OracleColumnMetadata {
  readonly name: string;
  readonly dbType?: OracleDbType;
}

export type FetchTypeHandler = (column: OracleColumnMetadata) => { readonly type: OracleDbType } | undefined;

export interface OracleBind {
  readonly dir: number;
  readonly type: OracleDbType;
  readonly val: string;
}

export interface OracleExecuteOptions {
  readonly outFormat: number;
  readonly resultSet: boolean;
  readonly fetchArraySize: number;
  readonly prefetchRows: number;
  /** 0: no limit. */
  readonly maxRows: number;
  readonly fetchTypeHandler: FetchTypeHandler;
}

export interface OracleResultSet {
  getRows(count: number): Promise<OracleRow[]>;
  close(): Promise<void>;
}

export interface OracleResult {
  readonly rows?: OracleRow[];
  readonly resultSet?: OracleResultSet;
}

export interface OracleConnection {
  /** Milliseconds of one round trip; 0: no limit. */
  callTimeout: number;
  module: string;
  action: string;
  clientInfo: string;
  readonly oracleServerVersionString: string;
  execute(sql: string, binds: Readonly<Record<string, OracleBind>>, options: OracleExecuteOptions): Promise<OracleResult>;
  rollback(): Promise<void>;
  break(): Promise<void>;
  close(options: { readonly drop: boolean }): Promise<void>;
}

export interface OracleConnectionAttributes {
  readonly user: string;
  readonly password: string;
  readonly connectString: string;
  /** Seconds. */
  readonly connectTimeout: number;
  /** Seconds. */
  readonly transportConnectTimeout: number;
  /** Minutes between probes of an idle socket. */
  readonly expireTime: number;
  readonly walletContent?: string;
  readonly walletPassword?: string;
  readonly sslServerDNMatch?: boolean;
  readonly program: string;
}

export interface OracleDriver {
  readonly OUT_FORMAT_ARRAY: number;
  readonly BIND_IN: number;
  readonly DB_TYPE_VARCHAR: OracleDbType;
  readonly DB_TYPE_NVARCHAR: OracleDbType;
  readonly DB_TYPE_NUMBER: OracleDbType;
  getConnection(attributes: OracleConnectionAttributes): Promise<OracleConnection>;
}
