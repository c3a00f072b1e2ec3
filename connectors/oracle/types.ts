/**
 * The type table of Oracle: native type → PostgreSQL type, and by which SQL a value leaves and comes back exactly.
 *
 * The driver would make JavaScript dates of temporal values and cut them at milliseconds, so the server writes them as text;
 * NUMBER comes as the driver's own text of all its digits.
 */
import type { Column } from '../../schemas/table.ts';

/** How a value travels; `refused` has no faithful place. */
export type Kind =
  | 'number' | 'float' | 'boolean' | 'text' | 'national' | 'raw' | 'rowid' | 'long' | 'longraw'
  | 'clob' | 'blob' | 'xml' | 'json' | 'date' | 'timestamp' | 'timestamptz' | 'timestampltz' | 'ym' | 'ds' | 'refused';

export interface OracleType {
  readonly kind: Kind;
  readonly pgType: string;
  readonly order: Column['order'];
  /** Digits of the fraction of a second. */
  readonly scale: number;
  readonly note?: string;
}

export interface TypeRow {
  /** As documents show it. */
  readonly native: string;
  /** Matches the spelling of {@link nativeTypeOf}; groups are the modifiers. */
  readonly pattern: RegExp;
  readonly kind: Kind;
  readonly postgres: (modifiers: readonly string[]) => string;
  readonly order?: Column['order'];
  readonly note?: string;
}

/** Digits of a second's fraction that PostgreSQL holds; finer values stay text. */
const FRACTION_MAX = 6;

const unlessFiner = (type: (digits: string) => string) => ([digits = '6']: readonly string[]): string => (Number(digits) <= FRACTION_MAX ? type(digits) : 'text');
const zoned = unlessFiner((digits) => `timestamp(${digits}) with time zone`);
const always = (type: string) => (): string => type;
const sized = (type: string) => ([length]: readonly string[]): string => `${type}(${length})`;
const numeric = ([precision, scale]: readonly string[]): string => `numeric(${precision},${scale ?? '0'})`;

/** First match counts. */
export const TYPE_TABLE: readonly TypeRow[] = [
  { native: 'NUMBER', pattern: /^NUMBER$/, kind: 'number', postgres: always('numeric'), order: 'number' },
  { native: 'NUMBER(*,s)', pattern: /^NUMBER\(\*,-?\d+\)$/, kind: 'number', postgres: always('numeric'), order: 'number' },
  { native: 'NUMBER(p,s)', pattern: /^NUMBER\((\d+)(?:,(-?\d+))?\)$/, kind: 'number', postgres: numeric, order: 'number' },
  { native: 'FLOAT(p)', pattern: /^FLOAT(?:\(\d+\))?$/, kind: 'number', postgres: always('numeric'), order: 'number' },
  { native: 'BINARY_FLOAT', pattern: /^BINARY_FLOAT$/, kind: 'float', postgres: always('real') },
  { native: 'BINARY_DOUBLE', pattern: /^BINARY_DOUBLE$/, kind: 'float', postgres: always('double precision') },
  { native: 'BOOLEAN', pattern: /^BOOLEAN$/, kind: 'boolean', postgres: always('boolean') },
  { native: 'CHAR(n CHAR)', pattern: /^CHAR\((\d+) CHAR\)$/, kind: 'text', postgres: sized('character'), order: 'text' },
  { native: 'CHAR(n BYTE)', pattern: /^CHAR\((\d+) BYTE\)$/, kind: 'text', postgres: sized('character varying'), order: 'text', note: 'padding kept as stored: it is counted in bytes' },
  { native: 'NCHAR(n)', pattern: /^NCHAR\((\d+)\)$/, kind: 'national', postgres: sized('character varying'), order: 'text', note: 'padding kept as stored' },
  { native: 'VARCHAR2(n)', pattern: /^VARCHAR2\((\d+) (?:CHAR|BYTE)\)$/, kind: 'text', postgres: sized('character varying'), order: 'text' },
  { native: 'NVARCHAR2(n)', pattern: /^NVARCHAR2\((\d+)\)$/, kind: 'national', postgres: sized('character varying'), order: 'text' },
  { native: 'CLOB', pattern: /^CLOB$/, kind: 'clob', postgres: always('text') },
  { native: 'NCLOB', pattern: /^NCLOB$/, kind: 'clob', postgres: always('text') },
  { native: 'LONG', pattern: /^LONG$/, kind: 'long', postgres: always('text') },
  { native: 'RAW(n)', pattern: /^RAW\(\d+\)$/, kind: 'raw', postgres: always('bytea') },
  { native: 'LONG RAW', pattern: /^LONG RAW$/, kind: 'longraw', postgres: always('bytea') },
  { native: 'BLOB', pattern: /^BLOB$/, kind: 'blob', postgres: always('bytea') },
  { native: 'DATE', pattern: /^DATE$/, kind: 'date', postgres: always('timestamp(0) without time zone'), order: 'time' },
  { native: 'TIMESTAMP(n)', pattern: /^TIMESTAMP\((\d)\)$/, kind: 'timestamp', postgres: unlessFiner((digits) => `timestamp(${digits}) without time zone`), order: 'time' },
  { native: 'TIMESTAMP(n) WITH TIME ZONE', pattern: /^TIMESTAMP\((\d)\) WITH TIME ZONE$/, kind: 'timestamptz', postgres: zoned, order: 'time', note: 'the instant; the name of the zone is not kept' },
  { native: 'TIMESTAMP(n) WITH LOCAL TIME ZONE', pattern: /^TIMESTAMP\((\d)\) WITH LOCAL TIME ZONE$/, kind: 'timestampltz', postgres: zoned, order: 'time' },
  { native: 'INTERVAL YEAR TO MONTH', pattern: /^INTERVAL YEAR\(\d\) TO MONTH$/, kind: 'ym', postgres: always('interval') },
  { native: 'INTERVAL DAY TO SECOND(n)', pattern: /^INTERVAL DAY\(\d\) TO SECOND\((\d)\)$/, kind: 'ds', postgres: unlessFiner(() => 'interval') },
  { native: 'ROWID', pattern: /^ROWID$/, kind: 'rowid', postgres: always('text'), note: 'the address of a row at this moment, kept as text' },
  { native: 'UROWID', pattern: /^UROWID(?:\(\d+\))?$/, kind: 'rowid', postgres: always('text'), note: 'the address of a row at this moment, kept as text' },
  { native: 'XMLTYPE', pattern: /^XMLTYPE$/, kind: 'xml', postgres: always('xml') },
  { native: 'JSON', pattern: /^JSON$/, kind: 'json', postgres: always('jsonb') },
  { native: 'any other (BFILE, VECTOR, objects, collections, REF, ANYDATA, SDO_GEOMETRY)', pattern: /^/, kind: 'refused', postgres: always('text'), note: 'has no faithful PostgreSQL type: reading it is refused; exclude the column' },
];

const TEMPORAL = new Set<Kind>(['timestamp', 'timestamptz', 'timestampltz', 'ds']);

/** The type for a native spelling. */
export function typeOf(nativeType: string): OracleType {
  for (const row of TYPE_TABLE) {
    const match = row.pattern.exec(nativeType);
    if (match === null) continue;
    const modifiers = match.slice(1).filter((each) => each !== undefined);
    const pgType = row.postgres(modifiers);
    const scale = TEMPORAL.has(row.kind) ? Number(modifiers[0] ?? FRACTION_MAX) : 0;
    const note = scale > FRACTION_MAX ? `kept as text: ${nativeType} is finer than microseconds` : row.note;
    return { kind: row.kind, pgType, order: row.order ?? 'none', scale, ...(note === undefined ? {} : { note }) };
  }
  throw new RangeError('the last row matches everything');
}

/** A column's type as ALL_TAB_COLS has it. */
export interface CatalogType {
  readonly dataType: string;
  /** Schema of a type that is not built in, else null. */
  readonly owner: string | null;
  readonly precision: string | null;
  readonly scale: string | null;
  /** Bytes. */
  readonly length: string;
  readonly characters: string;
  /** `B`, `C`, or null for types that are no text. */
  readonly semantics: string | null;
}

/** One spelling for each type, modifiers included: what {@link typeOf} reads and `plan` shows. */
export function nativeTypeOf(type: CatalogType): string {
  const { dataType } = type;
  if (dataType === 'XMLTYPE') return dataType;
  if (type.owner !== null) return `${type.owner}.${dataType}`;
  switch (dataType) {
    case 'NUMBER':
      if (type.precision === null) return type.scale === null ? 'NUMBER' : `NUMBER(*,${type.scale})`;
      return `NUMBER(${type.precision},${type.scale ?? '0'})`;
    case 'FLOAT':
      return `FLOAT(${type.precision ?? '126'})`;
    case 'CHAR':
    case 'VARCHAR2':
      return `${dataType}(${type.characters} ${type.semantics === 'C' ? 'CHAR' : 'BYTE'})`;
    case 'NCHAR':
    case 'NVARCHAR2':
      return `${dataType}(${type.characters})`;
    case 'RAW':
      return `RAW(${type.length})`;
    default:
      return dataType;
  }
}

/** What stops a column from being read under the stream's `types:` setting; null where nothing does. */
export function refusalOf(nativeType: string, types: Readonly<Record<string, string>>): string | null {
  const type = typeOf(nativeType);
  if (type.kind === 'refused') return `${nativeType} has no faithful PostgreSQL type`;
  return types['fine_timestamps'] === 'refuse' && type.scale > FRACTION_MAX ? `${nativeType} is finer than microseconds, and types.fine_timestamps is "refuse"` : null;
}
