/** What the connector asks Oracle's catalog, and how it prepares and names a session; answers as the catalog gives them. */
import fc from 'fast-check';
import { connectorWith } from '../../connectors/oracle/connect.ts';
import { connectionSchema } from '../../connectors/oracle/connection.ts';
import { targetNames } from '../../connectors/folded-names.ts';
import { parseName, quoteName } from '../../connectors/oracle/names.ts';
import { extendTrail, reachBack, type TidePoint } from '../../connectors/oracle/position.ts';
import type { OracleRow } from '../../connectors/oracle/driver.ts';
import type { SourceSession } from '../../connectors/connector.ts';
import { OracleRecorder, type Answer } from './oracle-recorder.ts';

const NAMES: Answer = [/SYS_CONTEXT/, [['ORCL', 'ORCLPDB1', 'READER', 'BANK', '+03:00']]];
const DATABASE: Answer = [/v\$database/, [['1234567890', '88000', '1', 'PRIMARY']]];

const TABLES: readonly OracleRow[] = [
  ['BANK', 'ACCOUNT', 'TABLE', '73001', 'NO', '4500', '450000'],
  ['BANK', 'Mixed.Name', 'TABLE', '73002', 'YES', null, null],
  ['OTHER', 'LEDGER', 'VIEW', '73003', 'NO', null, null],
  ['THIRD', 'LEDGER', 'TABLE', '73004', 'NO', null, null],
];

/** A server that names itself and shows its transactions. */
class Catalog extends OracleRecorder {
  constructor(answers: readonly Answer[] = []) {
    super([NAMES, ...answers, DATABASE]);
  }
}

async function sessionOn(recorder: OracleRecorder, more: object = {}, signal = new AbortController().signal): Promise<SourceSession> {
  const settings = connectionSchema.parse({ host: 'db.example', service_name: 'X', user: 'u', password: 'p', ...more });
  return connectorWith(recorder).connect(settings, { applicationName: 'tidemark hq_dar_es_salaam', connectTimeoutMs: 1000, statementTimeoutMs: 5000, signal });
}

const ACCOUNT_COLUMNS: readonly OracleRow[] = [
  ['BANK', 'ACCOUNT', 'ID', 'NUMBER', null, '10', '0', '22', '0', null, 'N'],
  ['BANK', 'ACCOUNT', 'Id', 'VARCHAR2', null, null, null, '30', '30', 'C', 'Y'],
  ['BANK', 'ACCOUNT', 'UPDATED_AT', 'TIMESTAMP(6)', null, null, '6', '11', '0', null, 'Y'],
  ['BANK', 'ACCOUNT', 'SHAPE', 'SDO_GEOMETRY', 'MDSYS', null, null, '1', '0', null, 'Y'],
];
const found: readonly Answer[] = [
  [/FROM all_objects o LEFT JOIN/, TABLES],
  [/FROM all_tab_cols/, ACCOUNT_COLUMNS],
  [/FROM all_constraints/, [['BANK', 'ACCOUNT', 'P PK_ACCOUNT', 'ID'], ['BANK', 'ACCOUNT', 'U UQ', 'Id']]],
  [/FROM all_indexes/, [['BANK', 'ACCOUNT', 'X BANK.PK_ACCOUNT', 'ID'], ['BANK', 'ACCOUNT', 'I BANK.BY_TIME', 'UPDATED_AT'], ['BANK', 'ACCOUNT', 'I BANK.EXPR', 'SYS_NC00005$']]],
];

describe('an oracle session', () => {
  it('pins what changes texts and orders, and shows its name', async () => {
    const recorder = new Catalog();
    const session = await sessionOn(recorder, { schema: 'Core' });
    expect(recorder.sent.map(({ sql }) => sql)).toEqual([
      "ALTER SESSION SET NLS_CALENDAR = 'GREGORIAN' NLS_NUMERIC_CHARACTERS = '.,' NLS_DATE_LANGUAGE = 'AMERICAN' NLS_SORT = BINARY NLS_COMP = BINARY",
      "ALTER SESSION SET NLS_DATE_FORMAT = 'SYYYY-MM-DD HH24:MI:SS' NLS_TIMESTAMP_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF9' NLS_TIMESTAMP_TZ_FORMAT = 'SYYYY-MM-DD HH24:MI:SS.FF9 TZH:TZM'",
      "ALTER SESSION SET TIME_ZONE = '+00:00'",
      'ALTER SESSION SET CURRENT_SCHEMA = "Core"',
    ]);
    expect(recorder.connections).toEqual([expect.objectContaining({ module: 'tidemark', action: 'tidemark hq_dar_es_salaam', clientInfo: 'tidemark hq_dar_es_salaam', callTimeout: 5000 })]);
    await session.close();
    await session.close();
    expect(recorder.connections[0]?.closed).toBe(true);
    await expect(session.server()).rejects.toMatchObject({ code: 'source.connection_lost' });
  });

  it('closes the connection where the schema does not exist', async () => {
    const recorder = new Catalog([[/CURRENT_SCHEMA =/, Object.assign(new Error('x'), { code: 'ORA-01435' })]]);
    await expect(sessionOn(recorder, { schema: 'NOWHERE' })).rejects.toMatchObject({ code: 'source.database_missing' });
    expect(recorder.connections[0]?.closed).toBe(true);
  });

  it('gives up a server that answers nothing, not even a cancel, in bounded time', async () => {
    jest.useFakeTimers();
    try {
      const never = (): Promise<never> => new Promise<never>(() => undefined);
      const recorder = new Catalog();
      const abort = new AbortController();
      const session = await sessionOn(recorder, {}, abort.signal);
      Object.assign(recorder.connections[0] as object, { execute: never, break: never, close: never, rollback: never });
      const outcome = (work: Promise<unknown>): Promise<unknown> => work.then(() => 'done', (error: { code?: string }) => error.code);
      const silent = outcome(session.server());
      await jest.advanceTimersByTimeAsync(10_000);
      expect(await silent).toBe('source.connection_lost');
      const aborted = outcome(session.discover());
      abort.abort();
      await jest.advanceTimersByTimeAsync(10_000);
      expect(await aborted).toBe('batch.cancelled');
      const closed = outcome(session.close());
      await jest.advanceTimersByTimeAsync(10_000);
      expect(await closed).toBe('done');
    } finally {
      jest.useRealTimers();
    }
  });

  it('says which server it is, and which privileges are missing', async () => {
    const facts = await (await sessionOn(new Catalog())).server();
    expect(facts).toEqual({ product: 'Oracle Database', version: '19.0.0.0.0', database: 'ORCLPDB1', user: 'READER', timezone: '+03:00', identity: 'ORCL/ORCLPDB1/1234567890', warnings: [], notes: [expect.stringContaining('READ ONLY')] });
    const denied = Object.assign(new Error('x'), { code: 'ORA-00942' });
    const blind = await (await sessionOn(new OracleRecorder([NAMES, [/v\$database/, denied]]))).server();
    expect(blind.identity).toBe('ORCL/ORCLPDB1/-');
    expect(blind.warnings).toEqual([expect.stringContaining('V_$DATABASE, GV_$TRANSACTION, GV_$SESSION')]);
    const standby = await (await sessionOn(new OracleRecorder([NAMES, [/v\$database/, [['1', '2', '3', 'PHYSICAL STANDBY']]]]))).server();
    expect(standby.warnings).toEqual([expect.stringContaining('standby')]);
  });

  it('reads in one read-only transaction, bound and rows alike, with every value as a bind', async () => {
    const recorder = new Catalog([[/^SELECT TO_CHAR\(SYS_EXTRACT_UTC\(SYSTIMESTAMP\)/, [['2026-11-20T10:00:00.000000Z', '2026-11-20T09:59:00.000000Z', ' 2026-11-20 10:00:00.000000000', ' 2026-11-21 10:00:00.000000000']]],
      [/^SELECT TO_CHAR\(MAX\(t\."UPDATED_AT"\)/, [[' 2026-11-20 09:00:00.123456000', null]]], [/^SELECT \(SELECT TO_CHAR\(MAX/, [[' 2026-11-20 09:00:00.123456000', '0', '2026-11-20T10:00:00.000001Z']]], ...found]);
    const session = await sessionOn(recorder, { snapshot: 'transaction' });
    const table = await session.describe('account');
    recorder.sent.splice(0);
    const stream = { table, columns: ['ID', 'UPDATED_AT'], key: ['ID'], cursor: 'UPDATED_AT', overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 100, types: {} };
    const read = await session.readFrom(stream, null, { rowsMax: 10 }, 'copy-text');
    for await (const _chunk of read.stream) expect(_chunk).toBeDefined();
    const at = recorder.statements.indexOf('SET TRANSACTION READ ONLY');
    expect(recorder.statements.slice(at + 1)).toEqual([
      `SELECT (SELECT TO_CHAR(MAX(t."UPDATED_AT"), 'SYYYY-MM-DD HH24:MI:SS.FF9') FROM "BANK"."ACCOUNT" t WHERE t."UPDATED_AT" <= TO_TIMESTAMP(:b1, 'SYYYY-MM-DD HH24:MI:SS.FF9')), (SELECT COUNT(*) FROM "BANK"."ACCOUNT" t WHERE t."UPDATED_AT" > TO_TIMESTAMP(:b2, 'SYYYY-MM-DD HH24:MI:SS.FF9')), TO_CHAR(SYS_EXTRACT_UTC(SYSTIMESTAMP), 'YYYY-MM-DD"T"HH24:MI:SS.FF6"Z"') FROM DUAL`,
      `SELECT TO_CHAR(t."UPDATED_AT", 'SYYYY-MM-DD HH24:MI:SS.FF9'), TO_CHAR(t."ID", 'TM9') FROM "BANK"."ACCOUNT" t WHERE t."UPDATED_AT" <= TO_TIMESTAMP(:b1, 'SYYYY-MM-DD HH24:MI:SS.FF9') ORDER BY t."UPDATED_AT", t."ID" OFFSET 9 ROWS FETCH NEXT 2 ROWS ONLY`,
      `SELECT t."ID" AS c0, TO_CHAR(t."UPDATED_AT", 'SYYYY-MM-DD HH24:MI:SS.FF6') AS c1 FROM "BANK"."ACCOUNT" t WHERE t."UPDATED_AT" <= TO_TIMESTAMP(:b1, 'SYYYY-MM-DD HH24:MI:SS.FF9')`,
      `SELECT t."ID" AS c0, TO_CHAR(t."UPDATED_AT", 'SYYYY-MM-DD HH24:MI:SS.FF6') AS c1 FROM "BANK"."ACCOUNT" t WHERE t."UPDATED_AT" IS NULL`,
    ]);
    // The questions about open transactions come before the snapshot: a transaction that ends between them is then seen by it.
    const order = [/MAX\(t\."UPDATED_AT"\)/, /TO_CHAR\(dbid\)/, /gv\$session/, /gv\$transaction/].map((pattern) => recorder.statements.slice(0, at).findLastIndex((sql) => pattern.test(sql)));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order[0]).toBeGreaterThanOrEqual(0);
    const later = { ...read.to, state: { ...read.to.state, at: [' 2026-11-20 08:00:00.000000000', '7'] } };
    recorder.sent.splice(0);
    await session.readFrom(stream, later, { rowsMax: 10 }, 'copy-text').then((next) => next.stream.resume());
    const paged = recorder.sent.find(({ sql }) => sql.includes('OFFSET'));
    expect(paged?.sql).toContain(`WHERE t."UPDATED_AT" >= TO_TIMESTAMP(:b1, 'SYYYY-MM-DD HH24:MI:SS.FF9') AND (t."UPDATED_AT" > TO_TIMESTAMP(:b1, 'SYYYY-MM-DD HH24:MI:SS.FF9') OR (t."UPDATED_AT" = TO_TIMESTAMP(:b1, 'SYYYY-MM-DD HH24:MI:SS.FF9') AND t."ID" > TO_NUMBER(:b2))) AND t."UPDATED_AT" <= TO_TIMESTAMP(:b3, 'SYYYY-MM-DD HH24:MI:SS.FF9')`);
    expect(paged?.binds).toEqual({ b1: ' 2026-11-20 08:00:00.000000000', b2: '7', b3: ' 2026-11-20 09:00:00.123456000' });
  });
});

describe('the oracle catalog', () => {
  it('describes a table with its key, types, and names for the target', async () => {
    const table = await (await sessionOn(new Catalog(found))).describe('account');
    expect(table).toMatchObject({ schema: 'BANK', name: 'ACCOUNT', kind: 'table', identity: '73001', key: ['ID'], indexedColumns: ['ID', 'UPDATED_AT'], rowEstimate: 4500, bytesEstimate: 450_000 });
    expect(table.columns.map(({ name, targetName, nativeType, pgType, order, nullable }) => [name, targetName, nativeType, pgType, order, nullable])).toEqual([
      ['ID', 'id', 'NUMBER(10,0)', 'numeric(10,0)', 'number', false],
      ['Id', expect.stringMatching(/^id_[0-9a-f]{8}$/), 'VARCHAR2(30 CHAR)', 'character varying(30)', 'text', true],
      ['UPDATED_AT', 'updated_at', 'TIMESTAMP(6)', 'timestamp(6) without time zone', 'time', true],
      ['SHAPE', 'shape', 'MDSYS.SDO_GEOMETRY', 'text', 'none', true],
    ]);
    expect(table.columns[3]?.note).toContain('refused');
  });

  it.each([['account', 'ACCOUNT'], ['BANK.ACCOUNT', 'ACCOUNT'], ['bank."ACCOUNT"', 'ACCOUNT'], ['Mixed.Name', 'Mixed.Name'], ['"Mixed.Name"', 'Mixed.Name'], ['other.ledger', 'LEDGER']])('finds %s', async (written, name) => {
    expect((await (await sessionOn(new Catalog(found))).describe(written)).name).toBe(name);
  });

  it('asks which of two schemas is meant, and names what is near where there is none', async () => {
    const session = await sessionOn(new Catalog([...found, [/FROM all_objects o WHERE/, [['ACCOUNTS_OLD'], ['ACCOUNT']]]]));
    await expect(session.describe('ledger')).rejects.toMatchObject({ code: 'source.table_ambiguous', message: expect.stringContaining('OTHER, THIRD') });
    await expect(session.describe('bank.acount')).rejects.toMatchObject({ code: 'source.table_missing', hint: expect.stringContaining('ACCOUNT.') });
  });

  it('goes by a synonym to the table behind it', async () => {
    const session = await sessionOn(new Catalog([...found, [/FROM all_synonyms/, [['THIRD', 'LEDGER']]]]));
    expect(await session.describe('books')).toMatchObject({ schema: 'THIRD', name: 'LEDGER' });
  });

  it('discovers tables and views of schemas that are not Oracle\'s own', async () => {
    const recorder = new Catalog(found);
    const tables = await (await sessionOn(recorder)).discover();
    expect(tables.map(({ schema, name, kind }) => [schema, name, kind])).toEqual([['BANK', 'ACCOUNT', 'table'], ['BANK', 'Mixed.Name', 'partitioned'], ['OTHER', 'LEDGER', 'view'], ['THIRD', 'LEDGER', 'table']]);
    expect(tables.map(({ columns }) => columns.length)).toEqual([4, 0, 0, 0]);
    for (const sql of recorder.statements) expect(sql).toContain("oracle_maintained = 'Y'");
  });

  it('takes the primary key, else the shortest unique one over columns that are filled', async () => {
    const columns = ACCOUNT_COLUMNS.map((row) => [...row.slice(0, 10), row[2] === 'UPDATED_AT' ? 'N' : row[10]] as OracleRow);
    const keyWith = async (constraints: readonly OracleRow[], indexes: readonly OracleRow[]): Promise<readonly string[]> => {
      const answers: readonly Answer[] = [[/FROM all_objects o LEFT JOIN/, TABLES], [/FROM all_tab_cols/, columns], [/FROM all_constraints/, constraints], [/FROM all_indexes/, indexes]];
      return (await (await sessionOn(new Catalog(answers))).describe('account')).key;
    };
    expect(await keyWith([['BANK', 'ACCOUNT', 'U A', 'ID'], ['BANK', 'ACCOUNT', 'U A', 'UPDATED_AT'], ['BANK', 'ACCOUNT', 'U B', 'UPDATED_AT']], [])).toEqual(['UPDATED_AT']);
    expect(await keyWith([['BANK', 'ACCOUNT', 'U N', 'Id']], [['BANK', 'ACCOUNT', 'X BANK.X', 'ID'], ['BANK', 'ACCOUNT', 'X BANK.X', 'UPDATED_AT']])).toEqual(['ID', 'UPDATED_AT']);
    expect(await keyWith([], [['BANK', 'ACCOUNT', 'X BANK.E', 'SYS_NC00005$'], ['BANK', 'ACCOUNT', 'I BANK.I', 'ID']])).toEqual([]);
  });
});

describe('oracle names', () => {
  it('folds, shortens and tells apart', () => {
    const long = 'Ä'.repeat(128);
    const [plain, mixed, reserved, ours, cut, other] = targetNames(['NAME', 'Name', 'CTID', '_TIDEMARK_BATCH', long, `${long.slice(1)}B`]);
    expect(plain).toBe('name');
    expect(mixed).toMatch(/^name_[0-9a-f]{8}$/);
    expect(reserved).toMatch(/^ctid_/);
    expect(ours).toMatch(/^_tidemark_batch_/);
    expect(Buffer.byteLength(cut ?? '')).toBeLessThanOrEqual(63);
    expect(cut).not.toBe(other);
  });

  it('gives every column a name of its own that does not hang on its neighbours', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.stringMatching(/^[A-Za-z_Ä]{1,40}$/), { minLength: 1, maxLength: 12 }), (names) => {
        const targets = targetNames(names);
        expect(new Set(targets).size).toBe(names.length);
        expect([...targetNames(names.toReversed())].reverse()).toEqual(targets);
      }),
    );
  });

  it('quotes only what can be a name', () => {
    expect(quoteName('a; DROP TABLE x --')).toBe('"a; DROP TABLE x --"');
    for (const name of ['', 'a"b', 'a\u0000']) expect(() => quoteName(name)).toThrow(RangeError);
    expect(parseName('a."B.c"')).toEqual(['A', 'B.c']);
    for (const name of ['', 'a..b', '"a', 'a b']) expect(parseName(name)).toBeNull();
  });
});

describe('reaching back', () => {
  const point = (seconds: number): TidePoint => ({ scn: String(seconds), clock: new Date(seconds * 1000).toISOString(), bound: String(seconds) });

  it('goes to the newest point before all that was under way', () => {
    const trail = [point(10), point(20), point(30)];
    expect(reachBack(trail, { oldestScn: null, oldestClock: null })?.bound).toBe('30');
    expect(reachBack(trail, { oldestScn: '29', oldestClock: null })?.bound).toBe('20');
    expect(reachBack(trail, { oldestScn: '29', oldestClock: point(15).clock })?.bound).toBe('10');
    expect(reachBack(trail, { oldestScn: '9', oldestClock: null })).toBeNull();
  });

  it('keeps few points, of which one is at most about twice as far back as needed', () => {
    let trail: readonly TidePoint[] = [];
    for (let run = 0; run < 20_000; run += 1) trail = extendTrail(trail, point(30 * run));
    expect(trail.length).toBeLessThanOrEqual(32);
    const now = 30 * 19_999;
    for (const age of [60, 100, 1000, 5000, 50_000, 200_000]) {
      const reached = reachBack(trail, { oldestScn: String(now - age), oldestClock: null });
      expect(now - Number(reached?.scn)).toBeLessThanOrEqual(2 * age + 60);
    }
  });
});
