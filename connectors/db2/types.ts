/**
 * The one type table: Db2's types (and Derby's, which are a subset) to PostgreSQL's, lossless or refused.
 *
 * | Db2 | PostgreSQL | order |
 * |---|---|---|
 * | smallint, integer, bigint | the same | number |
 * | decimal(p,s), decfloat | numeric(p,s), numeric | number |
 * | real, double | real, double precision | number |
 * | char(n), graphic(n) | char(n) | text |
 * | varchar(n), vargraphic(n) | varchar(n) | text |
 * | long varchar, clob, dbclob | text | none |
 * | … for bit data, binary, varbinary, blob, rowid | bytea | none |
 * | date, time | date, time(0) | time, none |
 * | timestamp(p), p ≤ 6 | timestamp(p) | time |
 * | timestamp(p), p > 6 | text; refused where `types: { timestamps: refuse }` | time |
 * | boolean, xml | boolean, xml | none |
 */
import type { Column } from '../../schemas/table.ts';

export type BaseType =
  | 'SMALLINT' | 'INTEGER' | 'BIGINT' | 'DECIMAL' | 'DECFLOAT' | 'REAL' | 'DOUBLE' | 'BOOLEAN'
  | 'CHAR' | 'VARCHAR' | 'LONG VARCHAR' | 'CLOB' | 'GRAPHIC' | 'VARGRAPHIC' | 'LONG VARGRAPHIC' | 'DBCLOB' | 'XML'
  | 'BINARY' | 'VARBINARY' | 'LONG VARBINARY' | 'BLOB' | 'DATE' | 'TIME' | 'TIMESTAMP' | 'OTHER';

export interface NativeType {
  readonly base: BaseType;
  /** Length, or precision; 0 where the type has none. */
  readonly length: number;
  readonly scale: number;
}

/** Column with what is needed to read it. */
export interface NativeColumn {
  readonly name: string;
  readonly nativeType: string;
  readonly nullable: boolean;
}

interface Mapped {
  readonly pgType: string;
  readonly order: Column['order'];
  readonly note?: string;
}

const SYNONYMS: Readonly<Record<string, BaseType>> = {
  CHARACTER: 'CHAR',
  INT: 'INTEGER',
  NUMERIC: 'DECIMAL',
  'DOUBLE PRECISION': 'DOUBLE',
  FLOAT: 'DOUBLE',
  LONGVAR: 'LONG VARCHAR',
  LONGVARG: 'LONG VARGRAPHIC',
  TIMESTMP: 'TIMESTAMP',
  ROWID: 'VARBINARY',
};

const BASES: ReadonlySet<string> = new Set<BaseType>([
  'SMALLINT', 'INTEGER', 'BIGINT', 'DECIMAL', 'DECFLOAT', 'REAL', 'DOUBLE', 'BOOLEAN', 'CHAR', 'VARCHAR', 'LONG VARCHAR', 'CLOB',
  'GRAPHIC', 'VARGRAPHIC', 'LONG VARGRAPHIC', 'DBCLOB', 'XML', 'BINARY', 'VARBINARY', 'LONG VARBINARY', 'BLOB', 'DATE', 'TIME', 'TIMESTAMP',
]);

const AS_BITS: Readonly<Partial<Record<BaseType, BaseType>>> = { CHAR: 'BINARY', VARCHAR: 'VARBINARY', 'LONG VARCHAR': 'LONG VARBINARY' };

/** `CHAR (8) FOR BIT DATA`, `DECIMAL(31,10)`, `TIMESTAMP(6)`, as {@link nativeTypeText} and Derby's catalog print them. */
export function parseType(nativeType: string): NativeType {
  const match = /^([A-Z_ ]+?)\s*(?:\((\d+)(?:,\s*(\d+))?\))?\s*(FOR BIT DATA)?( CODEPAGE \d+)?$/.exec(nativeType);
  if (match === null) return { base: 'OTHER', length: 0, scale: 0 };
  const [, word = '', length = '', scale = '0', bits] = match;
  const base = SYNONYMS[word] ?? (BASES.has(word) ? (word as BaseType) : 'OTHER');
  const defaultLength = base === 'TIMESTAMP' ? 6 : base === 'DECFLOAT' ? 34 : 0;
  return {
    base: bits === undefined ? base : (AS_BITS[base] ?? 'OTHER'),
    length: length === '' ? defaultLength : Number(length),
    scale: Number(scale),
  };
}

/** Code pages of Unicode, and 0 for types that have none. */
const UNICODE_PAGES: ReadonlySet<number> = new Set([0, 1200, 1208]);

/** The server keeps the column in another code page, and puts a substitute where a byte has no character. */
export const isConverted = (nativeType: string): boolean => / CODEPAGE \d+$/.test(nativeType);

/** A type as SYSCAT.COLUMNS has it, as text. `codePage` 0 marks bit data. */
export function nativeTypeText(typeName: string, length: number, scale: number, codePage: number): string {
  const { base } = parseType(typeName);
  const page = UNICODE_PAGES.has(codePage) ? '' : ` CODEPAGE ${codePage}`;
  const bits = codePage === 0 && base in AS_BITS ? ' FOR BIT DATA' : page;
  switch (base) {
    case 'DECIMAL':
      return `DECIMAL(${length},${scale})`;
    case 'DECFLOAT':
      return `DECFLOAT(${length <= 8 ? 16 : 34})`;
    case 'TIMESTAMP':
      return `TIMESTAMP(${scale})`;
    case 'DOUBLE':
      return length === 4 ? 'REAL' : 'DOUBLE';
    case 'CHAR':
    case 'VARCHAR':
    case 'GRAPHIC':
    case 'VARGRAPHIC':
    case 'BINARY':
    case 'VARBINARY':
    case 'CLOB':
    case 'DBCLOB':
    case 'BLOB':
      return `${base}(${length})${bits}`;
    case 'OTHER':
      return typeName;
    default:
      return `${base}${bits}`;
  }
}

const FIXED: Readonly<Partial<Record<BaseType, Mapped>>> = {
  SMALLINT: { pgType: 'smallint', order: 'number' },
  INTEGER: { pgType: 'integer', order: 'number' },
  BIGINT: { pgType: 'bigint', order: 'number' },
  DECFLOAT: { pgType: 'numeric', order: 'number' },
  REAL: { pgType: 'real', order: 'number' },
  DOUBLE: { pgType: 'double precision', order: 'number' },
  BOOLEAN: { pgType: 'boolean', order: 'none' },
  'LONG VARCHAR': { pgType: 'text', order: 'none' },
  'LONG VARGRAPHIC': { pgType: 'text', order: 'none' },
  CLOB: { pgType: 'text', order: 'none' },
  DBCLOB: { pgType: 'text', order: 'none' },
  XML: { pgType: 'xml', order: 'none' },
  BINARY: { pgType: 'bytea', order: 'none' },
  VARBINARY: { pgType: 'bytea', order: 'none' },
  'LONG VARBINARY': { pgType: 'bytea', order: 'none' },
  BLOB: { pgType: 'bytea', order: 'none' },
  DATE: { pgType: 'date', order: 'time' },
  TIME: { pgType: 'time(0) without time zone', order: 'none' },
};

/** The target of a type. Null: refused. `types` is the stream's setting. */
export function mapType(type: NativeType, types: Readonly<Record<string, string>> = {}): Mapped | null {
  switch (type.base) {
    case 'DECIMAL':
      return { pgType: `numeric(${type.length},${type.scale})`, order: 'number' };
    case 'CHAR':
    case 'GRAPHIC':
      return { pgType: `character(${type.length})`, order: 'text' };
    case 'VARCHAR':
    case 'VARGRAPHIC':
      return { pgType: `character varying(${type.length})`, order: 'text' };
    case 'TIMESTAMP':
      if (type.length <= 6) return { pgType: `timestamp(${type.length}) without time zone`, order: 'time' };
      return types['timestamps'] === 'refuse' ? null : { pgType: 'text', order: 'time', note: `kept as text: ${type.length} fractional digits are more than PostgreSQL has` };
    default:
      return FIXED[type.base] ?? null;
  }
}

/** Columns as the contract has them. A refused one is described, so that it can be excluded, and fails when it is read. */
export function columnOf(column: NativeColumn, targetName: string, types?: Readonly<Record<string, string>>): Column {
  const type = parseType(column.nativeType);
  const mapped = mapType(type, types) ?? { pgType: 'text', order: 'none' as const, note: 'cannot be read: its type has no faithful place in PostgreSQL; exclude the column' };
  return { name: column.name, targetName, nativeType: column.nativeType, nullable: column.nullable, ...mapped };
}
