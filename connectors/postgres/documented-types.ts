import type { DocumentedType } from '../type-page.ts';
import { orderOf, targetType, type NativeType } from './types.ts';

export const choices: readonly never[] = [];

const builtIn = (formatted: string, name: string, kind = 'b', element: string | null = null): NativeType => ({ formatted, name, builtIn: true, kind, element, base: name });
const own = (formatted: string, kind: string, base: string, element: string | null = null): NativeType => ({ formatted, name: formatted, builtIn: false, kind, element, base });

const TYPES: readonly NativeType[] = [
  builtIn('smallint', 'int2'), builtIn('integer', 'int4'), builtIn('bigint', 'int8'), builtIn('numeric(12,2)', 'numeric'), builtIn('real', 'float4'), builtIn('double precision', 'float8'), builtIn('money', 'money'),
  builtIn('boolean', 'bool'), builtIn('text', 'text'), builtIn('character varying(20)', 'varchar'), builtIn('character(20)', 'bpchar'), builtIn('bytea', 'bytea'), builtIn('bit(8)', 'bit'), builtIn('bit varying', 'varbit'),
  builtIn('date', 'date'), builtIn('time without time zone', 'time'), builtIn('time with time zone', 'timetz'), builtIn('timestamp without time zone', 'timestamp'), builtIn('timestamp with time zone', 'timestamptz'), builtIn('interval', 'interval'),
  builtIn('uuid', 'uuid'), builtIn('json', 'json'), builtIn('jsonb', 'jsonb'), builtIn('jsonpath', 'jsonpath'), builtIn('xml', 'xml'), builtIn('inet', 'inet'), builtIn('cidr', 'cidr'), builtIn('macaddr', 'macaddr'), builtIn('macaddr8', 'macaddr8'),
  builtIn('point', 'point'), builtIn('line', 'line'), builtIn('lseg', 'lseg'), builtIn('box', 'box'), builtIn('path', 'path'), builtIn('polygon', 'polygon'), builtIn('circle', 'circle'), builtIn('tsvector', 'tsvector'), builtIn('tsquery', 'tsquery'),
  builtIn('oid', 'oid'), builtIn('xid8', 'xid8'), builtIn('pg_lsn', 'pg_lsn'), builtIn('int4range', 'int4range', 'r'), builtIn('int4multirange', 'int4multirange', 'm'), builtIn('integer[]', '_int4', 'b', 'int4'), builtIn('regclass', 'regclass'), builtIn('aclitem', 'aclitem'),
  own('an enum', 'e', 'enum'), own('a domain over numeric', 'd', 'numeric'), own('a composite', 'c', 'composite'), own('a range of its own', 'r', 'range'), own('hstore, citext and other extensions', 'b', 'extension'), own('an array of these', 'b', 'array', 'enum'),
];

export const documentedTypes: readonly DocumentedType[] = TYPES.map((type) => {
  const { pgType, note } = targetType(type);
  return { native: type.formatted, pgType, order: orderOf(type), ...(note === undefined ? {} : { note }) };
});
