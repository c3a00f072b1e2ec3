import type { DocumentedType } from '../type-page.ts';
import { columnOf, mapType, parseType } from './types.ts';

export const choices = [{ name: 'timestamps', values: '`text` (default), `refuse`', means: 'What becomes of timestamps with more than six fractional digits.' }];

const NUL = 'U+0000';
const SPELLINGS: readonly (readonly [native: string, refused?: string])[] = [
  ['SMALLINT'], ['INTEGER'], ['BIGINT'], ['DECIMAL(31,10)'], ['DECFLOAT(16)'], ['DECFLOAT(34)'], ['REAL'], ['DOUBLE'], ['BOOLEAN'],
  ['CHAR(20)', NUL], ['VARCHAR(20)', NUL], ['LONG VARCHAR', NUL], ['CLOB(1000)', NUL], ['GRAPHIC(20)', NUL], ['VARGRAPHIC(20)', NUL], ['LONG VARGRAPHIC', NUL], ['DBCLOB(1000)', NUL],
  ['VARCHAR(20) CODEPAGE 1252', `${NUL}; the substitution character, since it stands for what the code page lost`],
  ['CHAR(20) FOR BIT DATA'], ['VARCHAR(20) FOR BIT DATA'], ['LONG VARCHAR FOR BIT DATA'], ['BINARY(20)'], ['VARBINARY(20)'], ['BLOB(1000)'], ['ROWID'],
  ['DATE'], ['TIME'], ['TIMESTAMP(0)'], ['TIMESTAMP(6)', 'Derby: nanoseconds'], ['TIMESTAMP(12)'], ['XML'], ['any other'],
];

export const documentedTypes: readonly DocumentedType[] = SPELLINGS.map(([native, refused]) => {
  const { pgType, order, note } = columnOf({ name: 'C', nativeType: native, nullable: true }, 'c');
  return { native, pgType: mapType(parseType(native)) === null ? null : pgType, order, ...(note === undefined ? {} : { note }), ...(refused === undefined ? {} : { refused }) };
});
