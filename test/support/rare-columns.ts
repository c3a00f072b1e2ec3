/** The types that a table has now and then, as {@link TypedColumn}s: each product's list goes on from the one in typed-columns.ts. */
import fc from 'fast-check';
import { bytes, clock, day, derbyText, integer, mariadbText, pg, plain, quoted, same, text, utf8Hex, words, type TypedColumn } from './typed-columns.ts';

const hex = (c: string): string => `HEX(${c})`;
const upperHex = (c: string): string => `upper(encode(${c}, 'hex'))`;
const coordinate = fc.integer({ min: -180, max: 180 });
const single = fc.float({ noNaN: true, noDefaultInfinity: true, min: Math.fround(1e-30), max: Math.fround(1e30) });
const between = (c: string): string => `CONCAT('<', ${c}, '>')`;
const inBrackets = (c: string): string => `'<' || ${c} || '>'`;

export const MARIADB_RARE: readonly TypedColumn[] = [
  { type: 'tinyint(1)', edges: ['-128', '2', '127'], random: integer(-128n, 127n), source: plain, target: text },
  { type: 'tinyint unsigned', edges: ['255'], random: integer(0n, 255n), source: plain, target: text },
  { type: 'smallint unsigned', edges: ['65535'], random: integer(0n, 65_535n), source: plain, target: text },
  { type: 'mediumint', edges: ['-8388608', '8388607'], random: integer(-8_388_608n, 8_388_607n), source: plain, target: text },
  { type: 'float', edges: ['16777216', '0.1', '3.4028234e38', '-1.17549435e-38'], random: single.map(String), source: (c) => `(${c} + 0e0)`, target: (c) => `${c}::double precision` },
  { type: 'bit(9)', edges: ["b'100000001'", '0'], random: integer(0n, 511n), source: (c) => `LPAD(BIN(${c}), 9, '0')`, target: text },
  { type: 'time', edges: ["'-838:59:59'", "'838:59:59'", "'-00:00:01'"], random: clock.map(quoted), source: plain, target: (c) => `CASE WHEN ${c} < interval '0' THEN '-' ELSE '' END || to_char(CASE WHEN ${c} < interval '0' THEN -${c} ELSE ${c} END, 'HH24:MI:SS')` },
  { type: 'char(8)', edges: ["'ab'", "'日本🏦'"], random: fc.string({ unit: fc.constantFrom(...'abcXYZ09é€日'), maxLength: 8 }).map(quoted), source: (c) => between(`RPAD(${c}, 8, ' ')`), target: (c) => inBrackets(`rpad(${c}::text, 8)`) },
  { type: 'varchar(60) CHARACTER SET latin1', edges: ["'Zürich € ÿ'", "''", "' '"], random: fc.string({ unit: fc.constantFrom(...'abc éÿ€ß'), maxLength: 20 }).map(quoted), source: (c) => `HEX(CONVERT(${c} USING utf8mb4))`, target: utf8Hex },
  { type: 'text CHARACTER SET utf16', edges: ["'𝄞 ключ'"], random: words.map(mariadbText), source: (c) => `HEX(CONVERT(${c} USING utf8mb4))`, target: utf8Hex },
  { type: 'varchar(40) CHARACTER SET cp1250', edges: ["'Łódź'"], random: fc.string({ unit: fc.constantFrom(...'abc łŁóźŹ'), maxLength: 20 }).map(quoted), source: (c) => `HEX(CONVERT(${c} USING utf8mb4))`, target: utf8Hex },
  { type: "enum('a','b,c','é','')", edges: ["'b,c'", "'é'", "''"], random: fc.constantFrom("'a'", "'b,c'", "'é'"), source: between, target: inBrackets },
  { type: 'json', edges: [`'{"a": 9007199254740993, "b": 1.10, "é": [null, true]}'`, "'null'", `'"𝄞"'`], random: fc.array(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n })).map((all) => quoted(`[${all.join(', ')}]`)), source: plain, target: text },
  { type: 'binary(4)', edges: ["'ab'", "x'00000000'"], random: fc.uint8Array({ maxLength: 4 }).map((value) => `x'${Buffer.from(value).toString('hex')}'`), source: hex, target: upperHex },
  { type: 'longblob', edges: ["REPEAT(x'00ff5c0a', 100000)", "''"], random: bytes.map((value) => `x'${value}'`), source: (c) => `MD5(${c})`, target: (c) => `md5(${c})` },
  { type: 'point', edges: ["ST_GeomFromText('POINT(1 2)', 4326)"], random: fc.tuple(coordinate, coordinate).map(([x, y]) => `ST_GeomFromText('POINT(${x} ${y})')`), source: (c) => `HEX(ST_AsWKB(${c}))`, target: upperHex },
  { type: 'geometry', edges: ["ST_GeomFromText('POLYGON((0 0, 0 1, 1 1, 0 0))')", "ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0, 3 4))')"], random: fc.tuple(coordinate, coordinate).map(([x, y]) => `ST_GeomFromText('LINESTRING(0 0, ${x} ${y})')`), source: (c) => `HEX(ST_AsWKB(${c}))`, target: upperHex },
  { type: 'uuid', edges: ["'123e4567-e89b-12d3-a456-426655440000'"], random: fc.uuid({ version: [1, 2, 3, 4, 5] }).map(quoted), source: plain, target: text },
  // The two print the same address differently (`1::2` and `1:0:2` for one group of zeros), so its 16 bytes are compared.
  { type: 'inet6', edges: ["'2001:db8::ff00:42:8329'", "'::'", "'1:e851:0:c2:311:1:45f:a6'"], random: fc.ipV6().map(quoted), source: (c) => `HEX(INET6_ATON(${c}))`, target: (c) => `upper(substr(encode(inet_send(${c}), 'hex'), 9))` },
  { type: 'int GENERATED ALWAYS AS (id * 2) STORED', edges: [], random: fc.constant('DEFAULT'), source: plain, target: text },
];

export const DERBY_RARE: readonly TypedColumn[] = [
  { type: 'real', edges: ['0.1', '-3.402E+38', '1.17549E-37'], random: single.map((value) => value.toExponential(5).toUpperCase()), source: plain, target: text },
  { type: 'numeric(5,0)', edges: ['-99999', '0'], random: integer(-99_999n, 99_999n), source: plain, target: text },
  { type: 'boolean', edges: ['true', 'false'], random: fc.constantFrom('true', 'false'), source: plain, target: text },
  { type: 'long varchar', edges: ["'long'", "'\\.'", "''"], random: fc.string({ unit: fc.constantFrom(...'abc é€日𝄞'), maxLength: 30 }).map(quoted), source: derbyText, target: inBrackets },
  { type: 'clob(1M)', edges: ["cast('clobby 𝄞' as clob)", "cast('' as clob)"], random: fc.string({ unit: fc.constantFrom(...'abcé€日'), minLength: 1, maxLength: 30 }).map((value) => `cast(${quoted(value)} as clob)`), source: plain, target: plain },
  { type: 'char(4) for bit data', edges: ["X'00FF0102'", "X'41'"], random: fc.uint8Array({ minLength: 1, maxLength: 4 }).map((value) => `X'${Buffer.from(value).toString('hex')}'`), source: plain, target: (c) => `encode(${c}, 'hex')` },
  { type: 'long varchar for bit data', edges: ["X'00ff5c0a'"], random: bytes.filter((value) => value !== '').map((value) => `X'${value}'`), source: plain, target: (c) => `encode(${c}, 'hex')` },
  { type: 'blob(1M)', edges: ["cast(X'00ff10' as blob(1M))"], random: bytes.filter((value) => value !== '').map((value) => `cast(X'${value}' as blob(1M))`), source: plain, target: (c) => `encode(${c}, 'hex')` },
];

const number = (type: string, low: string, high: string): TypedColumn => pg(type, [low, high], integer(BigInt(low), BigInt(high)));

export const POSTGRES_RARE: readonly TypedColumn[] = [
  number('smallint', '-32768', '32767'),
  number('integer', '-2147483648', '2147483647'),
  pg('real', ['-0', '1e-45', '3.4028235e+38', 'NaN', '-Infinity'], single.map(String)),
  pg('boolean', ['t', 'f'], fc.constantFrom('t', 'f')),
  pg('character varying(20)', ['', ' x ', '\\N'], fc.string({ unit: fc.constantFrom(...'abc é€日𝄞'), maxLength: 20 })),
  pg('character(6)', ['', 'ab', '日本'], fc.string({ unit: fc.constantFrom(...'abcé'), maxLength: 6 })),
  pg('"char"', ['a'], fc.constantFrom('x', 'y')),
  pg('name', ['pg_class'], fc.constantFrom('x', 'é')),
  pg('bit(5)', ['10101'], fc.constantFrom('00000', '11111')),
  pg('time', ['24:00:00', '00:00:00.000001'], clock),
  pg('time with time zone', ['23:59:59.999999+15:59', '00:00:00-15:59'], clock.map((value) => `${value}+03`)),
  pg('timestamp(3) with time zone', ['4713-01-01 00:00:00+00 BC'], day),
  pg('timestamptz[]', ['{infinity,NULL,"2026-03-29 02:30:00+01"}'], day.map((value) => `{${value}}`)),
  pg('cidr', ['10.0.0.0/8', '2001:db8::/32'], fc.ipV4().map((address) => `${address}/32`)),
  pg('macaddr', ['08:00:2b:01:02:03'], fc.constantFrom('00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff')),
  pg('macaddr8', ['08:00:2b:01:02:03:04:05'], fc.constantFrom('00:00:00:00:00:00:00:01')),
  pg('uuid', ['00000000-0000-0000-0000-000000000000'], fc.uuid()),
  pg('json', ['null', '{"b": 1, "a": 1E400, "a": "\\u0000"}', ' [ 1 ] '], fc.json({ maxDepth: 2 })),
  pg('jsonpath', ['$."a"[*]?(@ > 1)'], fc.constantFrom('$', '$."b"')),
  pg('text[]', ['{{"a,b","c\\"d"},{NULL,"NULL"}}', '{"",\\\\N}', '[2:3]={x,y}'], fc.array(fc.constantFrom('""', 'NULL', '"q r"', 'é')).map((all) => `{${all.join(',')}}`)),
  pg('numeric[]', ['{1.10,NaN,NULL}'], fc.constantFrom('{}', '{0.00}')),
  pg('bytea[]', ['{"\\\\x00ff",NULL}'], fc.constantFrom('{}')),
  pg('int8range', ['[1,)', 'empty'], fc.constantFrom('[1,5)', '(,)')),
  pg('tstzrange', ['["2024-01-01 00:00:00+00",infinity]'], day.map((value) => `[${value},)`)),
  pg('int4multirange', ['{[1,2),[5,)}', '{}'], fc.constantFrom('{[3,9)}')),
  pg('point', ['(-0,1e-300)', '(NaN,Infinity)'], fc.tuple(coordinate, coordinate).map(([x, y]) => `(${x},${y})`)),
  pg('lseg', ['[(0,0),(1,1)]'], fc.constantFrom('[(1,2),(3,4)]')),
  pg('box', ['(1,1),(0,0)'], fc.constantFrom('(3,4),(1,2)')),
  pg('path', ['[(0,0),(1,1)]', '((0,0),(1,1))'], fc.constantFrom('((1,2))')),
  pg('polygon', ['((0,0),(1,1),(1,0))'], fc.constantFrom('((1,2))')),
  pg('circle', ['<(0,0),1.5>'], fc.constantFrom('<(1,2),3>')),
  pg('tsquery', [`'a' & !'b':*A`], fc.constantFrom(`'x'`)),
  pg('oid', ['4294967295'], integer(0n, 4_294_967_295n)),
  pg('xid8', ['18446744073709551615'], integer(0n, 2n ** 64n - 1n)),
  pg('pg_lsn', ['FFFFFFFF/FFFFFFFF'], fc.constantFrom('0/0')),
  pg('regclass', ['pg_class'], fc.constantFrom('pg_type')),
  pg('cents[]', ['{1.10,NULL}'], fc.constantFrom('{}')),
  pg('pair[]', ['{"(1,\\"a b\\")"}'], fc.constantFrom('{}')),
  { type: 'bigint GENERATED ALWAYS AS IDENTITY', edges: [], random: fc.constant('DEFAULT'), source: same, target: same },
  { type: 'integer GENERATED BY DEFAULT AS IDENTITY', edges: [], random: fc.constant('DEFAULT'), source: same, target: same },
];
