/**
 * The one type table: MySQL's and MariaDB's types → PostgreSQL's, lossless or refused row by row.
 *
 * | MySQL, MariaDB | PostgreSQL | refused (row to quarantine) |
 * |---|---|---|
 * | tinyint, smallint [unsigned] | smallint; smallint unsigned: integer | |
 * | mediumint, int [unsigned], bigint | integer; int unsigned: bigint; bigint | |
 * | bigint unsigned | numeric(20,0) | |
 * | decimal(p,s) | numeric(p,s) | |
 * | float, double | real, double precision | |
 * | date, datetime(n), timestamp(n) | date, timestamp(n), timestamptz(n) | zero, partial and impossible dates |
 * | time(n), year | interval, smallint | |
 * | bit(n) | bit(n) | |
 * | char(n), varchar(n), text | char(n), varchar(n), text | U+0000, bytes that are not UTF-8 |
 * | enum, set | text | as text |
 * | binary, varbinary, blob, vector | bytea | |
 * | json; on MariaDB longtext with a json_valid check | jsonb | what jsonb can't hold exactly |
 * | geometry and its kin | bytea: WKB | |
 * | uuid, inet4, inet6 (MariaDB) | uuid, inet | |
 */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column } from '../../schemas/table.ts';

/** How a field's bytes become COPY text; see `copy-rows.ts`. */
export type Encoding = 'plain' | 'text' | 'json' | 'bytes' | 'geometry' | 'date' | 'timestamp' | 'timestamptz' | 'bit' | 'boolean';

/** A column as `information_schema.columns` has it. Lengths and precisions are the catalog's text. */
export interface NativeColumn {
  readonly name: string;
  readonly dataType: string;
  readonly columnType: string;
  readonly precision: string | null;
  readonly scale: string | null;
  readonly fraction: string | null;
  readonly length: string | null;
  readonly nullable: boolean;
  /** MariaDB's json: a longtext with a `json_valid` check. */
  readonly checkedJson: boolean;
}

/** A stream's choices: `zero_dates`: reject (default), null or text; `tinyint1`: smallint (default) or boolean. */
export type TypeChoices = Readonly<Record<string, string>>;

const CHOICES: Readonly<Record<string, readonly string[]>> = { zero_dates: ['reject', 'null', 'text'], tinyint1: ['smallint', 'boolean'] };

/** Throws `config.invalid` for a choice that this connector does not know. */
export function checkChoices(choices: TypeChoices): void {
  for (const [name, value] of Object.entries(choices)) {
    const known = Object.hasOwn(CHOICES, name) ? CHOICES[name] : undefined;
    if (known?.includes(value) === true) continue;
    throw new TidemarkError('config.invalid', known === undefined ? `types has no choice ${name}.` : `types.${name} can't be ${value}.`, {
      hint: known === undefined ? `Choices are ${Object.keys(CHOICES).join(', ')}.` : `It can be ${known.join(', ')}.`,
      path: `types.${name}`,
    });
  }
}

type Order = Column['order'];
interface Mapped {
  readonly pgType: string;
  readonly order: Order;
  readonly nativeType?: string;
  readonly note?: string;
}
type Rule = (column: NativeColumn, unsigned: boolean, choices: TypeChoices) => Mapped;

const number = (signed: string, unsigned = signed): Rule => (_, isUnsigned) => ({ pgType: isUnsigned ? unsigned : signed, order: 'number' });
const fixed = (pgType: string, order: Order, note?: string): Rule => () => ({ pgType, order, note });

/** A date that PostgreSQL can't hold may be asked for as text; then all dates of the stream are text. */
const dated = (name: (fraction: string) => string): Rule => (column, _unsigned, choices) =>
  choices['zero_dates'] === 'text'
    ? { pgType: 'text', order: 'time', note: 'kept as text: zero_dates is text' }
    : { pgType: name(column.fraction ?? '0'), order: 'time' };

const sized = (pgType: string): Rule => (column) =>
  column.length === null || column.length === '0' ? { pgType: 'text', order: 'text' } : { pgType: `${pgType}(${column.length})`, order: 'text' };

const LONG_TEXT: Rule = (column) =>
  column.checkedJson ? { pgType: 'jsonb', order: 'none', nativeType: 'json' } : { pgType: 'text', order: 'none' };

const BLOB = fixed('bytea', 'none');
const SPATIAL = fixed('bytea', 'none', 'well-known binary, x before y; the SRID is not carried');
const TINYINT: Rule = (column, _unsigned, choices) =>
  choices['tinyint1'] === 'boolean' && column.columnType.startsWith('tinyint(1)')
    ? { pgType: 'boolean', order: 'none', note: 'tinyint1 is boolean' }
    : { pgType: 'smallint', order: 'number' };

const RULES: Readonly<Record<string, Rule>> = {
  tinyint: TINYINT,
  smallint: number('smallint', 'integer'),
  mediumint: number('integer'),
  int: number('integer', 'bigint'),
  bigint: number('bigint', 'numeric(20,0)'),
  decimal: (column) => ({ pgType: `numeric(${column.precision ?? '10'},${column.scale ?? '0'})`, order: 'number' }),
  float: number('real'),
  double: number('double precision'),
  bit: (column) => ({ pgType: `bit(${column.precision ?? '1'})`, order: 'number' }),
  year: number('smallint'),
  date: dated(() => 'date'),
  datetime: dated((fraction) => `timestamp(${fraction}) without time zone`),
  timestamp: dated((fraction) => `timestamp(${fraction}) with time zone`),
  time: fixed('interval', 'none', 'a duration of up to ±838 hours, so interval'),
  char: sized('character'),
  varchar: sized('character varying'),
  tinytext: LONG_TEXT,
  text: LONG_TEXT,
  mediumtext: LONG_TEXT,
  longtext: LONG_TEXT,
  enum: fixed('text', 'none', 'enum kept as text'),
  set: fixed('text', 'none', 'set kept as text'),
  binary: fixed('bytea', 'text'),
  varbinary: fixed('bytea', 'text'),
  tinyblob: BLOB,
  blob: BLOB,
  mediumblob: BLOB,
  longblob: BLOB,
  vector: fixed('bytea', 'none', 'the numbers\' IEEE bytes'),
  json: fixed('jsonb', 'none'),
  uuid: fixed('uuid', 'none'),
  inet4: fixed('inet', 'none'),
  inet6: fixed('inet', 'none'),
  geometry: SPATIAL,
  point: SPATIAL,
  linestring: SPATIAL,
  polygon: SPATIAL,
  multipoint: SPATIAL,
  multilinestring: SPATIAL,
  multipolygon: SPATIAL,
  geometrycollection: SPATIAL,
  geomcollection: SPATIAL,
};

const UNKNOWN = fixed('text', 'none', 'a type this version does not know: its text is kept');

/** Words of `information_schema` that have a row of their own. */
export const KNOWN_TYPES: readonly string[] = Object.keys(RULES);

function ruleOf(dataType: string): Rule {
  return (Object.hasOwn(RULES, dataType) ? RULES[dataType] : undefined) ?? UNKNOWN;
}

export function mapColumn(column: NativeColumn, targetName: string, choices: TypeChoices): Column {
  const mapped = ruleOf(column.dataType)(column, column.columnType.includes('unsigned'), choices);
  return {
    name: column.name,
    targetName,
    nativeType: mapped.nativeType ?? column.columnType,
    pgType: mapped.pgType,
    nullable: column.nullable,
    order: mapped.order,
    ...(mapped.note === undefined ? {} : { note: mapped.note }),
  };
}

/** `decimal` of `decimal(12,2) unsigned`. */
export function baseType(column: Column): string {
  return /^[a-z0-9]+/.exec(column.nativeType)?.[0] ?? '';
}

/** What must stay as it is for positions to stay comparable: `integer`, `datetime`, ... Widening within it is harmless. */
export function cursorFamily(column: Column): string {
  const base = baseType(column);
  if (base.endsWith('int')) return 'integer';
  if (base === 'char' || base === 'varchar') return 'text';
  return base.replace(/^var/, '');
}

/** Digits after the second; 0 for other types. */
export function fractionDigits(column: Column): number {
  return Number(/^(?:datetime|timestamp)\((\d)\)/.exec(column.nativeType)?.[1] ?? '0');
}

const DATES: Readonly<Record<string, Encoding>> = { date: 'date', datetime: 'timestamp', timestamp: 'timestamptz' };

export function encodingOf(column: Column): Encoding {
  const base = baseType(column);
  if (column.pgType === 'boolean') return 'boolean';
  if (column.pgType === 'jsonb') return 'json';
  if (column.pgType === 'bytea') return ruleOf(base) === SPATIAL ? 'geometry' : 'bytes';
  if (base === 'bit') return 'bit';
  if (Object.hasOwn(DATES, base)) return column.pgType === 'text' ? 'plain' : (DATES[base] ?? 'plain');
  if (column.pgType === 'text' || column.pgType.startsWith('character')) return 'text';
  return 'plain';
}
