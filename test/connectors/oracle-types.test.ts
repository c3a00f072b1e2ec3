/** Every row of the type table: what the server is asked for, and what PostgreSQL makes of the value. */
import { pipeline } from 'node:stream/promises';
import copyStreams from 'pg-copy-streams';
import { connectorWith } from '../../connectors/oracle/connect.ts';
import { connectionSchema } from '../../connectors/oracle/connection.ts';
import type { OracleLob, OracleValue } from '../../connectors/oracle/driver.ts';
import { nativeTypeOf, TYPE_TABLE, typeOf, type CatalogType } from '../../connectors/oracle/types.ts';
import type { RowRead, StreamRead } from '../../connectors/connector.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDatabase, type PostgresDatabase } from '../support/postgres.ts';
import { OracleRecorder } from './oracle-recorder.ts';
import { column, streamOf as makeStream } from './oracle-target.ts';

function lob(content: string | Buffer): OracleLob & { destroyed: boolean } {
  return {
    length: content.length, destroyed: false,
    async getData(offset, amount) {
      return content.slice(offset - 1, offset - 1 + amount);
    },
    destroy() {
      this.destroyed = true;
    },
  };
}

function streamOf(nativeTypes: readonly string[]): StreamRead {
  return makeStream('T', nativeTypes.map((nativeType, index) => column(`C${index}`, nativeType, true)), null, []);
}

async function readWhole(recorder: OracleRecorder, stream: StreamRead): Promise<RowRead> {
  const settings = connectionSchema.parse({ host: 'db.example', service_name: 'X', user: 'u', password: 'p' });
  const session = await connectorWith(recorder).connect(settings, { applicationName: 'tidemark hq', connectTimeoutMs: 1000, statementTimeoutMs: 5000, signal: new AbortController().signal });
  return session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
}

/** Driver's value(s) of one column → PostgreSQL's own text of what arrived; `!code` where it was refused. */
interface Case {
  readonly native: string;
  readonly pgType: string;
  /** Items of the select list; `#` stands for the column. */
  readonly select: readonly string[];
  readonly values: readonly (readonly [OracleValue | readonly OracleValue[], string | null])[];
}

const YMD = 'SYYYY-MM-DD HH24:MI:SS';
const INLINE = (head: string): readonly string[] => [`CASE WHEN DBMS_LOB.GETLENGTH(#) <= 1000 THEN '.' || ${head} END`, 'CASE WHEN DBMS_LOB.GETLENGTH(#) > 1000 THEN # END'];
const HARD = 'tab\tnew\nline\rback\\slash \\N \\. "q" Zürich 日本 😀';
const LONG_TEXT = 'é😀'.repeat(900_000);

const CASES: readonly Case[] = [
  { native: 'NUMBER', pgType: 'numeric', select: ['#'], values: [['.5', '0.5'], ['-.001', '-0.001'], ['123456789012345678901234567890123456789', '123456789012345678901234567890123456789'], [`.${'0'.repeat(129)}1`, `0.${'0'.repeat(129)}1`], [null, null], ['-1e126', '!number.infinite']] },
  { native: 'NUMBER(*,0)', pgType: 'numeric', select: ['#'], values: [['9007199254740993', '9007199254740993']] },
  { native: 'NUMBER(12,2)', pgType: 'numeric(12,2)', select: ['#'], values: [['1.1', '1.10'], ['-9999999999.99', '-9999999999.99']] },
  { native: 'NUMBER(5,-3)', pgType: 'numeric(5,-3)', select: ['#'], values: [['99999000', '99999000'], ['-1000', '-1000']] },
  { native: 'NUMBER(3,5)', pgType: 'numeric(3,5)', select: ['#'], values: [['.00999', '0.00999']] },
  { native: 'FLOAT(126)', pgType: 'numeric', select: ['#'], values: [['3.1415926535897932384626433832795028842', '3.1415926535897932384626433832795028842']] },
  { native: 'BINARY_FLOAT', pgType: 'real', select: ['#'], values: [[Math.fround(0.1), '0.1'], [16777216, '1.6777216e+07'], [Infinity, 'Infinity'], [NaN, 'NaN'], [-0, '-0']] },
  { native: 'BINARY_DOUBLE', pgType: 'double precision', select: ['#'], values: [[0.1, '0.1'], [5e-324, '5e-324'], [Number.MAX_VALUE, '1.7976931348623157e+308'], [-Infinity, '-Infinity']] },
  { native: 'BOOLEAN', pgType: 'boolean', select: ['#'], values: [[true, 't'], [false, 'f'], [null, null]] },
  { native: 'CHAR(3 CHAR)', pgType: 'character(3)', select: ['#'], values: [['a  ', 'a  '], ['äöü', 'äöü']] },
  { native: 'CHAR(3 BYTE)', pgType: 'character varying(3)', select: ['#'], values: [['a  ', 'a  '], ['ä ', 'ä ']] },
  { native: 'NCHAR(3)', pgType: 'character varying(3)', select: ['#'], values: [['日  ', '日  ']] },
  { native: 'VARCHAR2(4000 CHAR)', pgType: 'character varying(4000)', select: ['#'], values: [[HARD, HARD], [' padded ', ' padded '], [null, null], ['a\u0000b', '!text.nul'], ['half \ud83d', '!text.not_unicode'], ['lost \ufffd', '!text.undecodable']] },
  { native: 'NVARCHAR2(200)', pgType: 'character varying(200)', select: ['#'], values: [[HARD, HARD]] },
  { native: 'CLOB', pgType: 'text', select: INLINE('DBMS_LOB.SUBSTR(#, 1000, 1)'), values: [[['.', null], ''], [[`.${HARD}`, null], HARD], [[null, null], null], [[null, lob(LONG_TEXT)], LONG_TEXT], [[null, lob(`${'x'.repeat(1001)}\u0000`)], '!text.nul'], [[null, lob(`${LONG_TEXT}\u0000`)], '!text.nul'], [[null, lob(`${LONG_TEXT}\ud83d`)], '!text.not_unicode']] },
  { native: 'NCLOB', pgType: 'text', select: INLINE('DBMS_LOB.SUBSTR(#, 1000, 1)'), values: [[['.日', null], '日']] },
  { native: 'LONG', pgType: 'text', select: ['#'], values: [[HARD, HARD]] },
  { native: 'RAW(16)', pgType: 'bytea', select: ['#'], values: [[Buffer.from([0, 255, 92, 10]), '\\x00ff5c0a'], [null, null]] },
  { native: 'LONG RAW', pgType: 'bytea', select: ['#'], values: [[Buffer.from([0]), '\\x00']] },
  { native: 'BLOB', pgType: 'bytea', select: INLINE('RAWTOHEX(DBMS_LOB.SUBSTR(#, 1000, 1))'), values: [[['.', null], '\\x'], [['.00FF', null], '\\x00ff'], [[null, null], null], [[null, lob(Buffer.alloc(3_000_000, 0xab))], `\\x${'ab'.repeat(3_000_000)}`]] },
  { native: 'DATE', pgType: 'timestamp(0) without time zone', select: [`TO_CHAR(#, '${YMD}')`], values: [[' 2026-03-29 02:30:00', '2026-03-29 02:30:00'], ['-4712-01-01 00:00:00', '4712-01-01 00:00:00 BC'], [' 9999-12-31 23:59:59', '9999-12-31 23:59:59'], [' 1582-10-04 12:00:00', '1582-10-04 12:00:00'], [' 1500-02-29 00:00:00', '!time.not_in_calendar'], ['-0001-02-29 00:00:00', '0001-02-29 00:00:00 BC'], [' 0000-01-01 00:00:00', '!time.not_in_calendar']] },
  { native: 'TIMESTAMP(0)', pgType: 'timestamp(0) without time zone', select: [`TO_CHAR(#, '${YMD}')`], values: [[' 2026-01-01 00:00:00', '2026-01-01 00:00:00']] },
  { native: 'TIMESTAMP(6)', pgType: 'timestamp(6) without time zone', select: [`TO_CHAR(#, '${YMD}.FF6')`], values: [[' 2026-01-01 23:59:59.999999', '2026-01-01 23:59:59.999999'], ['-0044-03-15 12:00:00.000001', '0044-03-15 12:00:00.000001 BC']] },
  { native: 'TIMESTAMP(9)', pgType: 'text', select: [`TO_CHAR(#, '${YMD}.FF9')`], values: [[' 2026-01-01 23:59:59.999999999', '2026-01-01 23:59:59.999999999']] },
  { native: 'TIMESTAMP(3) WITH TIME ZONE', pgType: 'timestamp(3) with time zone', select: [`TO_CHAR(SYS_EXTRACT_UTC(#), '${YMD}.FF3')`], values: [[' 2026-10-25 00:30:00.123', '2026-10-25 00:30:00.123+00'], ['-0001-01-01 00:00:00.000', '0001-01-01 00:00:00+00 BC']] },
  { native: 'TIMESTAMP(9) WITH TIME ZONE', pgType: 'text', select: [`TO_CHAR(#, '${YMD}.FF9 TZH:TZM')`], values: [[' 2026-10-25 02:30:00.123456789 +02:00', '2026-10-25 02:30:00.123456789 +02:00']] },
  { native: 'TIMESTAMP(6) WITH LOCAL TIME ZONE', pgType: 'timestamp(6) with time zone', select: [`TO_CHAR(#, '${YMD}.FF6')`], values: [[' 2026-10-25 00:30:00.123456', '2026-10-25 00:30:00.123456+00']] },
  { native: 'TIMESTAMP(7) WITH LOCAL TIME ZONE', pgType: 'text', select: [`TO_CHAR(#, '${YMD}.FF7')`], values: [[' 2026-10-25 00:30:00.1234567', '2026-10-25 00:30:00.1234567 +00:00']] },
  { native: 'INTERVAL YEAR(9) TO MONTH', pgType: 'interval', select: ['TO_CHAR(#)'], values: [['+000000002-03', '2 years 3 mons'], ['-000000002-03', '-2 years -3 mons'], ['+999999999-11', '!interval.out_of_range']] },
  { native: 'INTERVAL DAY(2) TO SECOND(6)', pgType: 'interval', select: ['TO_CHAR(#)'], values: [['+02 03:04:05.678901', '2 days 03:04:05.678901'], ['-02 03:04:05.678901', '-2 days -03:04:05.678901'], ['+999999999 23:59:59.999999', '999999999 days 23:59:59.999999'], ['-00 00:00:01.000000', '-00:00:01']] },
  { native: 'INTERVAL DAY(2) TO SECOND(9)', pgType: 'text', select: ['TO_CHAR(#)'], values: [['-02 03:04:05.678901234', '-02 03:04:05.678901234']] },
  { native: 'ROWID', pgType: 'text', select: ['#'], values: [['AAAR3sAAEAAAACXAAA', 'AAAR3sAAEAAAACXAAA']] },
  { native: 'UROWID(4000)', pgType: 'text', select: ['#'], values: [['*BAEAAJcCwQL+', '*BAEAAJcCwQL+']] },
  { native: 'XMLTYPE', pgType: 'xml', select: ['XMLSERIALIZE(CONTENT # AS CLOB)'], values: [[lob('<a b="1">ü &amp;\n</a>'), '<a b="1">ü &amp;\n</a>'], [null, null]] },
  { native: 'JSON', pgType: 'jsonb', select: ['JSON_SERIALIZE(# RETURNING CLOB)'], values: [[lob('{"n":9007199254740993,"d":1.10,"s":"\\ud83d\\ude00"}'), '{"d": 1.10, "n": 9007199254740993, "s": "😀"}'], [lob('{"s":"a\\u0000b"}'), '!json.not_in_jsonb'], [lob('"\\\\u0000"'), '"\\\\u0000"'], [lob('"\\ud83d"'), '!json.not_in_jsonb'], [lob('null'), 'null']] },
];

describeWith({ postgres: true }, 'oracle types', () => {
  let database: PostgresDatabase;
  beforeAll(async () => {
    database = await createDatabase('oracletypes');
  });

  it('has a case for each row of the table, in its order', () => {
    const rowOf = (native: string): number => TYPE_TABLE.findIndex(({ pattern }) => pattern.test(native));
    const rows = CASES.map(({ native }) => rowOf(native));
    expect([...new Set(rows)]).toEqual(Array.from({ length: TYPE_TABLE.length - 1 }, (_, index) => index));
  });

  it.each(CASES)('$native', async ({ native, pgType, select, values }) => {
    expect(typeOf(native).pgType).toBe(pgType);
    const rows = values.map(([value]) => (Array.isArray(value) ? (value as OracleValue[]) : [value as OracleValue]));
    const recorder = new OracleRecorder([[/FROM "BANK"\."T" t/, rows]]);
    const read = await readWhole(recorder, streamOf([native]));
    await database.query(`CREATE TEMP TABLE IF NOT EXISTS nothing (); DROP TABLE IF EXISTS stage; CREATE TABLE stage (n bigserial, v ${pgType}, rejects jsonb, record jsonb)`);
    const client = await database.client();
    await pipeline(read.stream, client.query(copyStreams.from('COPY stage (v, rejects, record) FROM STDIN')));
    const text = pgType.startsWith('character(') ? "concat(v, '')" : 'v';
    const loaded = await database.query(`SELECT CASE WHEN v IS NOT NULL THEN ${text} || '' END AS v, rejects->0->>'code' AS code, rejects->0->>'column' AS "column", record->>'C0' IS NOT NULL AS recorded FROM stage ORDER BY n`.replace("v || ''", pgType === 'boolean' ? "CASE WHEN v THEN 't' ELSE 'f' END" : 'v::text'));
    expect(loaded.map(({ v, code }) => (code ? `!${code}` : v))).toEqual(values.map(([, expected]) => expected));
    for (const { code, column, recorded } of loaded) if (code) expect([column, recorded]).toEqual(['C0', 't']);
    expect(read.rowsRead()).toBe(values.length);
    expect(recorder.statements.at(-1)).toBe(`SELECT ${select.map((item, index) => `${item.replaceAll('#', 't."C0"')} AS c${index}`).join(', ')} FROM "BANK"."T" t`);
    for (const value of rows.flat()) if (value !== null && typeof value === 'object' && 'destroyed' in value) expect(value.destroyed).toBe(true);
    await client.end();
  });

  it('rejects a row as a whole, with every column as text', async () => {
    const recorder = new OracleRecorder([[/FROM "BANK"\."T" t/, [['1', 'bad\u0000', Buffer.from([1])], ['2', 'good', null]]]]);
    const read = await readWhole(recorder, streamOf(['NUMBER', 'VARCHAR2(10 CHAR)', 'RAW(4)']));
    let text = '';
    for await (const chunk of read.stream) text += String(chunk);
    const [rejected, good] = text.trimEnd().split('\n') as [string, string];
    expect(rejected.split('\t').slice(0, 4)).toEqual(['\\N', '\\N', '\\N', '[{"column":"C1","code":"text.nul"}]']);
    expect(JSON.parse((rejected.split('\t')[4] ?? '').replaceAll('\\\\', '\\'))).toEqual({ C0: '1', C1: '\\x0062006100640000', C2: '\\x01' });
    expect(good).toBe('2\tgood\t\\N\t\\N\t\\N');
  });

  it('refuses by name what has no faithful type, unless the column is left out', async () => {
    const stream = streamOf(['NUMBER', 'MDSYS.SDO_GEOMETRY', 'BFILE', 'TIMESTAMP(9)']);
    await expect(readWhole(new OracleRecorder(), stream)).rejects.toMatchObject({ code: 'source.type_unsupported', message: expect.stringMatching(/C1: MDSYS\.SDO_GEOMETRY .*C2: BFILE/) });
    await expect(readWhole(new OracleRecorder(), { ...stream, columns: ['C0', 'C3'] })).resolves.toBeDefined();
    await expect(readWhole(new OracleRecorder(), { ...stream, columns: ['C0', 'C3'], types: { fine_timestamps: 'refuse' } })).rejects.toMatchObject({ code: 'source.type_unsupported', message: expect.stringContaining('C3: TIMESTAMP(9)') });
  });

  it('fetches as many rows as the reader takes, and few where each may be large', async () => {
    const recorder = new OracleRecorder([[/FROM/, Array.from({ length: 10_000 }, () => ['x'.repeat(1000)])]]);
    const read = await readWhole(recorder, streamOf(['VARCHAR2(1000 CHAR)']));
    for await (const _chunk of read.stream) break;
    expect(recorder.fetches.length).toBeGreaterThan(0);
    expect(recorder.fetches.length).toBeLessThan(20);
    expect(new Set(recorder.fetches)).toEqual(new Set([100]));
    const long = new OracleRecorder([[/FROM/, [['x']]]]);
    (await readWhole(long, streamOf(['LONG']))).stream.resume();
    await new Promise(setImmediate);
    expect(long.fetches[0]).toBe(8);
  });

  it.each<[Partial<CatalogType>, string]>([
    [{ dataType: 'NUMBER' }, 'NUMBER'], [{ dataType: 'NUMBER', scale: '0' }, 'NUMBER(*,0)'], [{ dataType: 'NUMBER', precision: '10', scale: '-2' }, 'NUMBER(10,-2)'], [{ dataType: 'FLOAT', precision: '63' }, 'FLOAT(63)'],
    [{ dataType: 'VARCHAR2', characters: '30', semantics: 'C' }, 'VARCHAR2(30 CHAR)'], [{ dataType: 'CHAR', characters: '3', semantics: 'B' }, 'CHAR(3 BYTE)'], [{ dataType: 'NVARCHAR2', characters: '9', semantics: 'C' }, 'NVARCHAR2(9)'],
    [{ dataType: 'RAW', length: '16' }, 'RAW(16)'], [{ dataType: 'XMLTYPE', owner: 'PUBLIC' }, 'XMLTYPE'], [{ dataType: 'SDO_GEOMETRY', owner: 'MDSYS' }, 'MDSYS.SDO_GEOMETRY'], [{ dataType: 'TIMESTAMP(6) WITH LOCAL TIME ZONE', scale: '6' }, 'TIMESTAMP(6) WITH LOCAL TIME ZONE'],
  ])('spells %j as %s', (type, spelled) => {
    expect(nativeTypeOf({ dataType: '', owner: null, precision: null, scale: null, length: '0', characters: '0', semantics: null, ...type })).toBe(spelled);
  });
});
