import type { DocumentedType } from '../type-page.ts';
import { TYPE_TABLE, typeOf } from './types.ts';

export const choices = [{ name: 'fine_timestamps', values: '`text` (default), `refuse`', means: 'What becomes of times with more than six fractional digits.' }];

const SPELLINGS: readonly string[] = [
  'NUMBER', 'NUMBER(*,2)', 'NUMBER(12,2)', 'NUMBER(5,-2)', 'FLOAT(126)', 'BINARY_FLOAT', 'BINARY_DOUBLE', 'BOOLEAN', 'CHAR(20 CHAR)', 'CHAR(20 BYTE)', 'NCHAR(20)', 'VARCHAR2(20 CHAR)', 'NVARCHAR2(20)',
  'CLOB', 'NCLOB', 'LONG', 'RAW(20)', 'LONG RAW', 'BLOB', 'DATE', 'TIMESTAMP(6)', 'TIMESTAMP(9)', 'TIMESTAMP(6) WITH TIME ZONE', 'TIMESTAMP(9) WITH TIME ZONE', 'TIMESTAMP(6) WITH LOCAL TIME ZONE',
  'INTERVAL YEAR(4) TO MONTH', 'INTERVAL DAY(2) TO SECOND(6)', 'INTERVAL DAY(2) TO SECOND(9)', 'ROWID', 'UROWID', 'XMLTYPE', 'JSON',
];
const TEXTS: readonly string[] = ['text', 'national', 'long', 'clob'];

function documented(native: string): DocumentedType {
  const { kind, pgType, order, note } = typeOf(native);
  const refused = TEXTS.includes(kind) ? { refused: 'U+0000' } : {};
  return { native, pgType: kind === 'refused' ? null : pgType, order, ...(note === undefined ? {} : { note }), ...refused };
}

/** Rows of the table that no spelling above meets stand under their own name: what is refused. */
export const documentedTypes: readonly DocumentedType[] = [
  ...SPELLINGS.map(documented),
  ...TYPE_TABLE.filter(({ pattern }) => !SPELLINGS.some((spelling) => pattern.test(spelling) && pattern.source !== '^')).map(({ native }) => documented(native)),
];
