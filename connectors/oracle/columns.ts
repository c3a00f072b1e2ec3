/** Each column in SQL: how it is selected, how it is compared, and how a value of it comes back as a bind. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column, TableShape } from '../../schemas/table.ts';
import { quoteName } from './names.ts';
import type { Binds } from './binds.ts';
import { typeOf, type Kind } from './types.ts';

/** The alias under which every statement reads its table. */
export const ALIAS = 't';

/** The pseudo-column that may stand as a cursor: an upper bound of the commit of the row's last change. */
export const ROW_SCN = 'ORA_ROWSCN';

/** `SYYYY` writes a minus for years before Christ and a blank otherwise. */
const SECONDS = 'SYYYY-MM-DD HH24:MI:SS';
const NANOSECONDS = `${SECONDS}.FF9`;

/**
 * LOBs up to this many bytes or UTF-16 units arrive inside the row; longer ones cost a round trip for each piece.
 * 1,000 units take at most 3,000 bytes, which a VARCHAR2 of any server holds.
 */
const INLINE_LOB_UNITS = 1000;

export function columnOf(table: TableShape, name: string): Column {
  const column = table.columns.find((each) => each.name === name);
  if (column !== undefined) return column;
  throw new TidemarkError('source.column_missing', `Table ${table.schema}.${table.name} has no column ${name}.`);
}

const reference = (name: string): string => `${ALIAS}.${quoteName(name)}`;

const fractionFormat = (scale: number): string => (scale === 0 ? SECONDS : `${SECONDS}.FF${scale}`);

/** The items of the select list that carry one column; {@link readField} puts them together again. */
export function selectItems(column: Column): readonly string[] {
  const name = reference(column.name);
  const { kind, scale, pgType } = typeOf(column.nativeType);
  switch (kind) {
    case 'date':
      return [`TO_CHAR(${name}, '${SECONDS}')`];
    case 'timestamp':
    case 'timestampltz':
      return [`TO_CHAR(${name}, '${fractionFormat(scale)}')`];
    case 'timestamptz':
      return [pgType === 'text' ? `TO_CHAR(${name}, '${NANOSECONDS} TZH:TZM')` : `TO_CHAR(SYS_EXTRACT_UTC(${name}), '${fractionFormat(scale)}')`];
    case 'ym':
    case 'ds':
      return [`TO_CHAR(${name})`];
    case 'clob':
      return inlineOrLocator(name, `DBMS_LOB.SUBSTR(${name}, ${INLINE_LOB_UNITS}, 1)`);
    case 'blob':
      return inlineOrLocator(name, `RAWTOHEX(DBMS_LOB.SUBSTR(${name}, ${INLINE_LOB_UNITS}, 1))`);
    case 'xml':
      return [`XMLSERIALIZE(CONTENT ${name} AS CLOB)`];
    case 'json':
      return [`JSON_SERIALIZE(${name} RETURNING CLOB)`];
    default:
      return [name];
  }
}

/** The dot tells an empty LOB, which is not NULL, from a NULL one: an empty VARCHAR2 would be NULL. */
function inlineOrLocator(name: string, head: string): readonly string[] {
  const length = `DBMS_LOB.GETLENGTH(${name})`;
  return [`CASE WHEN ${length} <= ${INLINE_LOB_UNITS} THEN '.' || ${head} END`, `CASE WHEN ${length} > ${INLINE_LOB_UNITS} THEN ${name} END`];
}

/** A column by which a stream is ordered and paged. */
export interface OrderColumn {
  readonly name: string;
  readonly kind: Kind;
  readonly nullable: boolean;
  /** What is compared: the column itself, so that its index serves. */
  readonly compared: string;
  /** An expression of the same type as text that {@link bound} takes back without loss. */
  text(expression: string): string;
  /** A text of {@link text} as a value to compare with. */
  bound(binds: Binds, text: string): string;
}

export function orderColumn(table: TableShape, name: string): OrderColumn {
  if (name === ROW_SCN) return { name, kind: 'number', nullable: false, compared: `${ALIAS}.${ROW_SCN}`, text: TEXTS.number as TextForm, bound: BOUNDS.number as BoundForm };
  const column = columnOf(table, name);
  const { kind } = typeOf(column.nativeType);
  const text = TEXTS[kind];
  const bound = BOUNDS[kind];
  if (text === undefined || bound === undefined) {
    throw new TidemarkError('source.cursor_unusable', `Column ${name} of table ${table.schema}.${table.name} is ${column.nativeType}, which has no order to read by.`, { hint: 'Choose another cursor or key.' });
  }
  return { name, kind, nullable: column.nullable, compared: reference(name), text, bound };
}

/** Whether a column of this type may be part of a key that is paged by. */
export function isOrderable(nativeType: string): boolean {
  return TEXTS[typeOf(nativeType).kind] !== undefined;
}

type TextForm = (expression: string) => string;
type BoundForm = (binds: Binds, text: string) => string;

const asIs: TextForm = (expression) => expression;

const TEXTS: Partial<Record<Kind, TextForm>> = {
  number: (expression) => `TO_CHAR(${expression}, 'TM9')`,
  text: asIs,
  national: asIs,
  raw: (expression) => `RAWTOHEX(${expression})`,
  rowid: (expression) => `ROWIDTOCHAR(${expression})`,
  date: (expression) => `TO_CHAR(${expression}, '${SECONDS}')`,
  timestamp: (expression) => `TO_CHAR(${expression}, '${NANOSECONDS}')`,
  timestampltz: (expression) => `TO_CHAR(${expression}, '${NANOSECONDS}')`,
  timestamptz: (expression) => `TO_CHAR(SYS_EXTRACT_UTC(${expression}), '${NANOSECONDS}')`,
};

const instant = (binds: Binds, text: string): string => `FROM_TZ(TO_TIMESTAMP(${binds.add(text)}, '${NANOSECONDS}'), '+00:00')`;

const BOUNDS: Partial<Record<Kind, BoundForm>> = {
  number: (binds, text) => `TO_NUMBER(${binds.add(text)})`,
  text: (binds, text) => binds.add(text),
  national: (binds, text) => binds.add(text, 'national'),
  raw: (binds, text) => `HEXTORAW(${binds.add(text)})`,
  rowid: (binds, text) => `CHARTOROWID(${binds.add(text)})`,
  date: (binds, text) => `TO_DATE(${binds.add(text)}, '${SECONDS}')`,
  timestamp: (binds, text) => `TO_TIMESTAMP(${binds.add(text)}, '${NANOSECONDS}')`,
  timestamptz: instant,
  timestampltz: (binds, text) => `CAST(${instant(binds, text)} AS TIMESTAMP(9) WITH LOCAL TIME ZONE)`,
};

/** Kinds whose cursor follows a clock. */
export function isTime(kind: Kind): boolean {
  return kind === 'date' || kind === 'timestamp' || kind === 'timestamptz' || kind === 'timestampltz';
}

/**
 * The server's clock as a value of a time column, for comparing with it. A DATE or TIMESTAMP does not say in which zone it
 * was written: the later of the server's own time and UTC.
 */
export function clockAs(kind: Kind): string {
  if (kind === 'timestamptz' || kind === 'timestampltz') return 'SYSTIMESTAMP';
  return 'GREATEST(CAST(SYSTIMESTAMP AS TIMESTAMP), SYS_EXTRACT_UTC(SYSTIMESTAMP))';
}

/** A position's text as people read it: ISO 8601, `Z` where the column knows its zone, no zeros at the end of a fraction. */
export function displayOf(kind: Kind, text: string): string {
  if (!isTime(kind)) return text;
  const iso = text.trim().replace(' ', 'T').replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
  return kind === 'timestamptz' || kind === 'timestampltz' ? `${iso}Z` : iso;
}
