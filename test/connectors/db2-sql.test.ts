/** The SQL for a Db2 server, pinned: none runs where the tests do. */
import { db2 } from '../../connectors/db2/dialect-db2.ts';
import type { Query } from '../../connectors/db2/dialect.ts';
import { planFull, readPart } from '../../connectors/db2/full.ts';
import { poll, readFrom } from '../../connectors/db2/incremental.ts';
import type { Row } from '../../connectors/db2/reader-client.ts';
import type { ReadRequest, Statement } from '../../connectors/db2/reader-protocol.ts';
import type { RowStream } from '../../connectors/db2/row-stream.ts';
import type { Source } from '../../connectors/db2/source.ts';
import { columnOf } from '../../connectors/db2/types.ts';
import type { StreamRead } from '../../connectors/connector.ts';
import { TidemarkError } from '../../schemas/errors.ts';

const NATIVE: Readonly<Record<string, string>> = { ID: 'BIGINT', PART: 'CHAR(4)', UPDATED_AT: 'TIMESTAMP(12)', AMOUNT: 'DECIMAL(18,2)', NOTE: 'VARCHAR(40) CODEPAGE 850' };

const columns = (native: Readonly<Record<string, string>>) =>
  Object.entries(native).map(([name, nativeType]) => columnOf({ name, nativeType, nullable: name !== 'ID' && name !== 'PART' }, name.toLowerCase()));

const streamOf = (native: Readonly<Record<string, string>>, key: readonly string[], cursor: string | null): StreamRead => ({
  table: { schema: 'CORE', name: 'ACCOUNT', kind: 'table', identity: '2020-01-01-00.00.00.000000', columns: columns(native), key, indexedColumns: [], rowEstimate: -1, bytesEstimate: -1 },
  columns: Object.keys(native),
  key,
  cursor,
  overlapSeconds: 60,
  futureLimitSeconds: 86_400,
  fetchRows: 2_000,
  types: {},
});

interface Recorded {
  readonly source: Source;
  readonly asked: Statement[];
  readonly reads: ReadRequest[];
}

/** Answers each question by the first pattern that its SQL matches, and keeps what was asked. */
function recorder(answers: readonly (readonly [RegExp, readonly Row[] | TidemarkError])[]): Recorded {
  const asked: Statement[] = [];
  const reads: ReadRequest[] = [];
  const query: Query = async (sql, params = []) => {
    asked.push({ sql, params });
    const answer = answers.find(([pattern]) => pattern.test(sql))?.[1] ?? [];
    if (answer instanceof TidemarkError) throw answer;
    return answer;
  };
  const source: Source = {
    dialect: db2,
    facts: { user: 'DB2INST1', schema: 'CORE', identity: 'db2:CBS:2019', offsetMinutes: 180 },
    identity: 'db2:CBS:2019:CBS',
    query: () => query,
    digest: async (_, read) => ({ rows: 1, digest: read.statements.map(({ sql, params }) => sql + params.join()).join() }),
    read: async (_, read) => {
      reads.push(read);
      return { rowsRead: () => 0 } as RowStream;
    },
  };
  return { source, asked, reads };
}

const CLOCK: readonly [RegExp, readonly Row[]] = [/^VALUES VARCHAR\(CURRENT TIMESTAMP\)$/, [['2026-11-20-10.00.00.000000']]];
const BOUND: readonly [RegExp, readonly Row[]] = [/MAX\("UPDATED_AT"\)/, [['2026-11-20-09.59.59.123456789012']]];
const NONE_OPEN: readonly [RegExp, readonly Row[]] = [/MON_GET_UNIT_OF_WORK/, [[null, '2026-11-20-10.00.01.000000', '0']]];

describe('SQL for Db2', () => {
  test('each type is selected in a form that the driver hands over exactly', () => {
    const select = (nativeType: string): readonly (string | null | boolean)[] => {
      const read = db2.valueRead({ name: 'C', nativeType, nullable: true });
      return read === null ? [null] : [read.sql, read.kind, read.lengthSql, read.long];
    };
    expect(select('INTEGER')).toEqual(['"C"', 'number', null, false]);
    expect(select('BIGINT')).toEqual(['"C"', 'plain', null, false]);
    expect(select('DECIMAL(31,10)')).toEqual(['VARCHAR("C")', 'plain', null, false]);
    expect(select('DECFLOAT(34)')).toEqual(['VARCHAR("C")', 'decfloat', null, false]);
    expect(select('VARCHAR(40)')).toEqual(['"C"', 'text', 'CHARACTER_LENGTH("C", CODEUNITS16)', false]);
    expect(select('CLOB(1048576)')).toEqual(['"C"', 'text', 'CHARACTER_LENGTH("C", CODEUNITS16)', true]);
    expect(select('CHAR(8) FOR BIT DATA')).toEqual(['"C"', 'bytes', null, false]);
    expect(select('BLOB(1048576)')).toEqual(['"C"', 'bytes', 'LENGTH("C")', true]);
    expect(select('DATE')).toEqual(['CHAR("C", ISO)', 'plain', null, false]);
    expect(select('TIME')).toEqual(['CHAR("C", JIS)', 'plain', null, false]);
    expect(select('TIMESTAMP(12)')).toEqual(['VARCHAR("C")', 'timestamp', null, false]);
    expect(select('XML')).toEqual(['XMLSERIALIZE("C" AS CLOB(2147483647))', 'text', null, true]);
    expect(select('BOOLEAN')).toEqual([`CASE WHEN "C" THEN 'true' WHEN NOT "C" THEN 'false' END`, 'plain', null, false]);
    expect(select('MONEY_T')).toEqual([null]);
  });

  test('a first batch: bound frozen, then open transactions, then the rows; cursor stability, never uncommitted', async () => {
    const { source, asked, reads } = recorder([CLOCK, BOUND, NONE_OPEN, [/COUNT\(/, [['2']]], [/OFFSET/, [['2026-11-20-09.00.00.000000000001', '7', 'AB  '], ['2026-11-20-09.00.00.000000000002', '8', 'AB  ']]]]);
    const stream = streamOf(NATIVE, ['ID', 'PART'], 'UPDATED_AT');
    const read = await readFrom(source, stream, null, { rowsMax: 500 });
    expect(asked.map(({ sql }) => sql.replace(/\s+/g, ' '))).toEqual([
      'SELECT VARCHAR(MIN(CURRENT_LSO)), COUNT(*), (SELECT VARCHAR(MIN(DB_CONN_TIME)) FROM TABLE(MON_GET_DATABASE(-2))) FROM TABLE(MON_GET_TRANSACTION_LOG(-2))',
      "SELECT VARCHAR(NEXTCACHEFIRSTVALUE) FROM SYSCAT.COLIDENTATTRIBUTES WHERE TABSCHEMA = ? AND TABNAME = ? AND INCREMENT > 0 AND CYCLE = 'N' WITH CS",
      'VALUES VARCHAR(CURRENT TIMESTAMP)',
      'SELECT VARCHAR("BOUND") FROM (SELECT MAX("UPDATED_AT") AS "BOUND" FROM "CORE"."ACCOUNT") AS "GREATEST" FOR READ ONLY WITH CS',
      'SELECT VARCHAR(MIN(UOW_START_TIME)), VARCHAR(CURRENT TIMESTAMP), (SELECT COALESCE(SUM(NUM_INDOUBT_TRANS), 0) FROM TABLE(MON_GET_TRANSACTION_LOG(-2))) FROM TABLE(MON_GET_UNIT_OF_WORK(NULL, -2)) WHERE APPLICATION_HANDLE <> MON_GET_APPLICATION_HANDLE() AND (UOW_STOP_TIME IS NULL OR UOW_STOP_TIME < UOW_START_TIME) AND (UOW_LOG_SPACE_USED > 0 OR ROWS_MODIFIED > 0)',
      'SELECT "ID", "PART" FROM "CORE"."ACCOUNT" WHERE "UPDATED_AT" = TIMESTAMP(CAST(? AS VARCHAR(64)), 12) ORDER BY "ID" DESC, "PART" DESC OFFSET 0 ROWS FETCH NEXT 8 ROWS ONLY FOR READ ONLY WITH CS',
      'SELECT VARCHAR("UPDATED_AT"), "ID", "PART" FROM "CORE"."ACCOUNT" WHERE "UPDATED_AT" <= TIMESTAMP(CAST(? AS VARCHAR(64)), 12) ORDER BY "UPDATED_AT", "ID", "PART" OFFSET 499 ROWS FETCH NEXT 2 ROWS ONLY FOR READ ONLY WITH CS',
      'SELECT COUNT(*) FROM "CORE"."ACCOUNT" WHERE "UPDATED_AT" > TIMESTAMP(CAST(? AS VARCHAR(64)), 12) FOR READ ONLY WITH CS',
    ]);
    expect(asked[3]?.params).toEqual([]);
    expect(asked[5]?.params).toEqual(['2026-11-20 09:59:59.123456789012']);
    expect(asked[6]?.params).toEqual(['2026-11-20 09:59:59.123456789012']);
    const list = '"ID", "PART", CHARACTER_LENGTH("PART", CODEUNITS16), VARCHAR("UPDATED_AT"), VARCHAR("AMOUNT"), "NOTE", CHARACTER_LENGTH("NOTE", CODEUNITS16)';
    const key = '("UPDATED_AT" <= T AND ("UPDATED_AT" < T OR ("UPDATED_AT" = T AND "ID" < N) OR ("UPDATED_AT" = T AND "ID" = N AND "PART" <= CAST(? AS VARCHAR(16)))))'
      .replaceAll(' T', ' TIMESTAMP(CAST(? AS VARCHAR(64)), 12)')
      .replaceAll(' N', ' CAST(CAST(? AS VARCHAR(64)) AS BIGINT)');
    expect(reads[0]?.statements.map(({ sql }) => sql)).toEqual([
      `SELECT ${list} FROM "CORE"."ACCOUNT" WHERE ${key} ORDER BY "UPDATED_AT", "ID", "PART" FOR READ ONLY WITH CS`,
      `SELECT ${list} FROM "CORE"."ACCOUNT" WHERE "UPDATED_AT" IS NULL ORDER BY "UPDATED_AT", "ID", "PART" FOR READ ONLY WITH CS`,
      `SELECT ${list} FROM "CORE"."ACCOUNT" WHERE "UPDATED_AT" > TIMESTAMP(CAST(? AS VARCHAR(64)), 12) ORDER BY "UPDATED_AT", "ID", "PART" FOR READ ONLY WITH CS`,
    ]);
    const last = '2026-11-20 09:00:00.000000000001';
    expect(reads[0]?.statements[0]?.params).toEqual([last, last, last, '7', last, '7', 'AB  ']);
    expect(reads[0]?.columns.map(({ converted }) => converted)).toEqual([false, false, false, false, true]);
    expect([read.more, read.futureRows, read.guarantee, read.asOf]).toEqual([true, 2, 'exact', '2026-11-20T07:00:00.000000Z']);
    expect(read.to.display).toBe('2026-11-20T06:00:00.000000000001Z');
  });

  test('where the highest cursor lies beyond the future limit, the highest within it is asked for', async () => {
    const ahead: readonly [RegExp, readonly Row[]] = [/MAX\("UPDATED_AT"\) AS "BOUND" FROM "CORE"."ACCOUNT"\)/, [['2026-11-21-10.00.00.000000000001']]];
    const { source, asked } = recorder([CLOCK, ahead, BOUND, NONE_OPEN, [/COUNT\(/, [['1']]]]);
    const read = await readFrom(source, streamOf(NATIVE, ['ID', 'PART'], 'UPDATED_AT'), null, { rowsMax: 500 });
    expect(asked.filter(({ sql }) => sql.includes('MAX(')).map(({ sql, params }) => [/WHERE .*\)\) AS/.exec(sql)?.[0] ?? null, ...params])).toEqual([
      [null],
      ['WHERE "UPDATED_AT" <= TIMESTAMP(CAST(? AS VARCHAR(64)), 12)) AS', '2026-11-21 10:00:00.000000'],
    ]);
    expect(read.to.display).toBe('2026-11-20T06:59:59.123456789012Z');
  });

  test('a log or a counter that has gone back, with the row at the bound gone, is history_lost; either alone, or a restart, is not', async () => {
    const stream = streamOf(NATIVE, ['ID', 'PART'], 'UPDATED_AT');
    const marks = (log: string, started: string): readonly [RegExp, readonly Row[]] => [/CURRENT_LSO/, [[log, '1', started]]];
    const counter = (next: string): readonly [RegExp, readonly Row[]] => [/NEXTCACHEFIRSTVALUE/, [[next]]];
    const last: readonly [RegExp, readonly Row[]] = [/OFFSET 0 /, [['7', 'AB  ']]];
    const fate = (there: string): readonly [RegExp, readonly Row[]] => [/^SELECT COUNT\(\*\), SUM/, [[there, there]]];
    const first = await readFrom(recorder([marks('5000', 't1'), counter('41'), CLOCK, BOUND, NONE_OPEN, last]).source, stream, null, { rowsMax: 500 });
    const next = (log: string, started: string, counted: string, there: string) => {
      const { source, asked } = recorder([marks(log, started), counter(counted), fate(there), CLOCK, BOUND, NONE_OPEN, last]);
      return readFrom(source, stream, JSON.parse(JSON.stringify(first.to)), { rowsMax: 500 }).then(
        () => asked.find(({ sql }) => sql.includes('SUM(CASE')) ?? null,
        (error: unknown) => (error instanceof TidemarkError ? error.code : error),
      );
    };
    expect(await next('4999', 't2', '41', '0')).toBe('source.history_lost');
    expect(await next('6000', 't2', '21', '0')).toBe('source.history_lost');
    expect(await next('6000', 't2', '61', '0')).not.toBe('source.history_lost');
    expect(await next('6000', 't1', '61', '0')).toBeNull();
    expect(await next('4999', 't2', '41', '1')).toEqual({
      sql: 'SELECT COUNT(*), SUM(CASE WHEN "UPDATED_AT" >= TIMESTAMP(CAST(? AS VARCHAR(64)), 12) OR "UPDATED_AT" IS NULL THEN 1 ELSE 0 END) FROM "CORE"."ACCOUNT" WHERE ("ID" = CAST(CAST(? AS VARCHAR(64)) AS BIGINT) AND "PART" = CAST(? AS VARCHAR(16))) FOR READ ONLY WITH CS',
      params: ['2026-11-20 09:59:59.123456789012', '7', 'AB  '],
    });
  });

  test('the next batch starts after the last row, within the same bound', async () => {
    const { source, reads } = recorder([CLOCK, BOUND, NONE_OPEN, [/OFFSET/, [['2026-11-20-09.00.00.000000000001', '7', 'AB  '], ['2026-11-20-09.00.00.000000000002', '8', 'AB  ']]]]);
    const stream = streamOf(NATIVE, ['ID', 'PART'], 'UPDATED_AT');
    const first = await readFrom(source, stream, null, { rowsMax: 500 });
    const rest = recorder([[/OFFSET/, []]]);
    const second = await readFrom(rest.source, stream, JSON.parse(JSON.stringify(first.to)), { rowsMax: 500 });
    expect(rest.asked.filter(({ sql }) => /MAX|MON_GET|CURRENT/.test(sql))).toEqual([]);
    expect(reads).toHaveLength(1);
    expect(rest.reads[0]?.statements).toHaveLength(1);
    expect(rest.reads[0]?.statements[0]?.sql).toContain('"UPDATED_AT" >= TIMESTAMP(CAST(? AS VARCHAR(64)), 12) AND ("UPDATED_AT" > TIMESTAMP(CAST(? AS VARCHAR(64)), 12) OR ');
    expect(rest.reads[0]?.statements[0]?.params.at(-1)).toBe('2026-11-20 09:59:59.123456789012');
    expect([second.more, second.to.display]).toEqual([false, '2026-11-20T06:59:59.123456789012Z']);
  });

  test('after a run with an open unit of work the next one reaches back; a poll sees it as well', async () => {
    const stream = streamOf(NATIVE, ['ID', 'PART'], 'UPDATED_AT');
    const open: readonly [RegExp, readonly Row[]] = [/MON_GET_UNIT_OF_WORK/, [['2026-11-20-09.30.00.000000', '2026-11-20-10.00.01.000000', '0']]];
    const first = await readFrom(recorder([CLOCK, BOUND, open]).source, stream, null, { rowsMax: 500 });
    const next = recorder([CLOCK, BOUND, NONE_OPEN]);
    await readFrom(next.source, stream, first.to, { rowsMax: 500 });
    expect(next.reads[0]?.statements[0]?.params[0]).toBe('2026-11-20 09:28:59.000000');
    expect(await poll(next.source, stream, first.to)).toBe(false);
  });

  test('without the privilege to see open transactions the overlap is read again and the promise says so', async () => {
    const stream = streamOf(NATIVE, ['ID', 'PART'], 'UPDATED_AT');
    const refused = new TidemarkError('source.privilege_missing', 'no');
    const first = await readFrom(recorder([CLOCK, BOUND, [/MON_GET/, refused]]).source, stream, null, { rowsMax: 500 });
    expect(first.guarantee).toBe('within 60s');
    const next = recorder([CLOCK, BOUND, [/MON_GET/, refused]]);
    await readFrom(next.source, stream, first.to, { rowsMax: 500 });
    expect(next.reads[0]?.statements[0]?.params[0]).toBe('2026-11-20 09:58:59.123456789012');
  });

  test('full builds: parts by key, no order, a key of bytes as a literal that is checked', async () => {
    const native = { ID: 'VARCHAR(8) FOR BIT DATA', V: 'VARCHAR(5)' };
    const stream = streamOf(native, ['ID'], null);
    const { source, asked } = recorder([CLOCK, [/X'00ff'/, []], [/OFFSET/, [['00ff'], ['0100']]]]);
    const plan = await planFull(source, stream, { rowsMax: 10 });
    expect(plan.parts.map(({ from, to }) => [from, to])).toEqual([[null, ['00ff']], [['00ff'], null]]);
    expect(asked.at(-1)?.sql).toContain(`WHERE "ID" > X'00ff' ORDER BY "ID" OFFSET 9 ROWS FETCH NEXT 2 ROWS ONLY`);
    const { source: reading, reads } = recorder([]);
    await readPart(reading, stream, { from: ['00ff'], to: ['0100'], rowEstimate: 1 });
    expect(reads[0]?.statements[0]?.sql).toBe(`SELECT "ID", "V", CHARACTER_LENGTH("V", CODEUNITS16) FROM "CORE"."ACCOUNT" WHERE ("ID" > X'00ff' AND "ID" <= X'0100') FOR READ ONLY WITH CS`);
    await expect(readPart(reading, stream, { from: [`' OR 1=1 --`], to: null, rowEstimate: 1 })).rejects.toThrow('not hexadecimal');
  });

  test('nothing ever reads uncommitted rows', async () => {
    const texts: string[] = [];
    const query: Query = async (sql) => {
      texts.push(sql);
      return [];
    };
    await db2.tables(query, null);
    await db2.columns(query, { schema: 'A', name: 'B' });
    await db2.indexes(query, null);
    await db2.session(query);
    expect(texts).toHaveLength(4);
    for (const sql of texts) expect(sql).toMatch(/WITH CS$/);
    expect(db2.readSuffix).toBe(' FOR READ ONLY WITH CS');
  });

  test("the catalog's rows become tables, columns and keys", async () => {
    const [table] = await db2.tables(async () => [['CORE', 'ACCOUNT', 'T', '2020-01-01-00.00.00.000000', 5_000, 10, 4_096, 2]], null);
    expect(table).toEqual({ schema: 'CORE', name: 'ACCOUNT', kind: 'partitioned', identity: '2020-01-01-00.00.00.000000', rowEstimate: 5_000, bytesEstimate: 40_960 });
    const [column] = await db2.columns(async () => [['CORE', 'ACCOUNT', 'NOTE', 'VARCHAR', 40, 0, 'Y', 850]], null);
    expect(column).toEqual({ schema: 'CORE', table: 'ACCOUNT', name: 'NOTE', nativeType: 'VARCHAR(40) CODEPAGE 850', nullable: true });
    const indexes = await db2.indexes(async () => [['CORE', 'ACCOUNT', 'P', 'CORE.PK', 'ID'], ['CORE', 'ACCOUNT', 'P', 'CORE.PK', 'PART'], ['CORE', 'ACCOUNT', 'D', 'CORE.I1', 'NOTE']], null);
    expect(indexes.map(({ columns: names, use }) => [names, use])).toEqual([[['ID', 'PART'], 'primary'], [['NOTE'], 'other']]);
    const facts = await db2.session(async () => [['DB2INST1', 'CORE', 'CBS', '-33000', '2019-01-01-00.00.00.000000']]);
    expect(facts).toEqual({ user: 'DB2INST1', schema: 'CORE', identity: 'db2:CBS:2019-01-01-00.00.00.000000', offsetMinutes: -210 });
  });
});
