import type { DocumentedType } from '../type-page.ts';
import { KNOWN_TYPES, mapColumn } from './types.ts';

export const choices = [
  { name: 'zero_dates', values: '`reject` (default), `null`, `text`', means: 'What becomes of zero, partial and impossible dates: the row waits in quarantine, the value is NULL, or all dates of the stream are text.' },
  { name: 'tinyint1', values: '`smallint` (default), `boolean`', means: 'What tinyint(1) becomes.' },
];

const SPELLINGS: Readonly<Record<string, readonly string[]>> = {
  tinyint: ['tinyint', 'tinyint unsigned'],
  smallint: ['smallint', 'smallint unsigned'],
  mediumint: ['mediumint', 'mediumint unsigned'],
  int: ['int', 'int unsigned'],
  bigint: ['bigint', 'bigint unsigned'],
};
const TEXT = 'U+0000; bytes that are no text in the column\'s character set';
const DATES = 'zero, partial and impossible dates';
const REFUSED: Readonly<Record<string, string>> = {
  date: DATES, datetime: DATES, timestamp: DATES, char: TEXT, varchar: TEXT, tinytext: TEXT, text: TEXT, mediumtext: TEXT, longtext: TEXT,
  json: 'U+0000, lone surrogates, and numbers beyond what jsonb holds',
};
const MODIFIERS: Readonly<Record<string, string>> = { decimal: 'decimal(12,2)', bit: 'bit(8)', datetime: 'datetime(6)', timestamp: 'timestamp(6)', time: 'time(6)', char: 'char(20)', varchar: 'varchar(20)', binary: 'binary(20)', varbinary: 'varbinary(20)' };

function documented(dataType: string, columnType: string, checkedJson = false): DocumentedType {
  const length = /\((\d+)\)/.exec(columnType)?.[1] ?? null;
  const column = { name: 'c', dataType, columnType, precision: dataType === 'decimal' ? '12' : length, scale: '2', fraction: length, length, nullable: true, checkedJson };
  const { nativeType, pgType, order, note } = mapColumn(column, 'c', {});
  const refused = REFUSED[checkedJson ? 'json' : dataType];
  return { native: checkedJson ? 'json (MariaDB: longtext with a json_valid check)' : nativeType, pgType, order, ...(note === undefined ? {} : { note }), ...(refused === undefined ? {} : { refused }) };
}

export const documentedTypes: readonly DocumentedType[] = [
  ...KNOWN_TYPES.flatMap((name) => (SPELLINGS[name] ?? [MODIFIERS[name] ?? name]).map((spelling) => documented(name, spelling))),
  documented('longtext', 'longtext', true),
];
