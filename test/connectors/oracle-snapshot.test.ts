/** Which snapshot a read takes, what it says then, and what becomes of it where the server has it no more. */
import { connectorWith } from '../../connectors/oracle/connect.ts';
import { connectionSchema } from '../../connectors/oracle/connection.ts';
import type { OracleDriver } from '../../connectors/oracle/driver.ts';
import { toTidemarkError } from '../../connectors/oracle/errors.ts';
import type { SourceSession } from '../../connectors/connector.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { OracleRecorder, type Answer } from './oracle-recorder.ts';
import { OracleStandIn } from './oracle-stand-in.ts';
import { column, streamOf, Target, textOf } from './oracle-target.ts';

const NAMES: Answer = [/'DB_NAME'/, [['ORCL', 'ORCLPDB1', 'READER', 'BANK', '+03:00']]];
const DATABASE: Answer = [/^SELECT TO_CHAR\(dbid\).*v\$database/, [['1234567890', '88000', '1', 'PRIMARY']]];
const CURRENT: Answer = [/^SELECT TO_CHAR\(current_scn\).*v\$database$/, [['88123', '2026-11-20T10:00:00.000000Z', 'PRIMARY']]];
const PACKAGE: Answer = [/DBMS_FLASHBACK/, [['88456', '2026-11-20T10:00:01.000000Z', 'PRIMARY']]];
const CLOCKS: readonly Answer[] = [
  [/^SELECT TO_CHAR\(SYS_EXTRACT_UTC\(SYSTIMESTAMP\)/, [['2026-11-20T10:00:00.000000Z', '2026-11-20T09:59:00.000000Z', ' 2026-11-20 10:00:00.000000000', ' 2026-11-21 10:00:00.000000000']]],
  [/^SELECT TO_CHAR\(MAX\(t\."AT"\)/, [[' 2026-11-20 09:00:00.000000000', null]]],
  [/^SELECT \(SELECT TO_CHAR\(MAX/, [[' 2026-11-20 09:00:00.000000000', '0', '2026-11-20T10:00:00.000001Z']]],
];
const PROBE = /^SELECT 1 FROM .* WHERE 1 = 0$/;
const BEGIN = 'SET TRANSACTION READ ONLY';

const failing = (code: string): Error => Object.assign(new Error('as Oracle would say'), { code });
const stream = streamOf('ACCOUNT', [column('ID', 'NUMBER(10,0)'), column('AT', 'TIMESTAMP(6)', true)], 'AT');

async function sessionOn(driver: OracleDriver, more: object = {}): Promise<SourceSession> {
  const settings = connectionSchema.parse({ host: 'db.example', service_name: 'X', user: 'u', password: 'p', ...more });
  return connectorWith(driver).connect(settings, { applicationName: 'tidemark hq', connectTimeoutMs: 5000, statementTimeoutMs: 60_000, signal: new AbortController().signal });
}

/** What a whole read of the stream sends after the questions of the run's begin. */
async function readWith(answers: readonly Answer[], more: object = {}, read = stream): Promise<OracleRecorder> {
  const recorder = new OracleRecorder([...answers, NAMES, DATABASE, ...CLOCKS]);
  const session = await sessionOn(recorder, more);
  const batch = await session.readFrom(read, null, { rowsMax: 10 }, 'copy-text');
  await textOf(batch.stream);
  return recorder;
}

const looksBack = (recorder: OracleRecorder): boolean => recorder.statements.some((sql) => sql.includes('AS OF SCN') && !PROBE.test(sql));

describe('an oracle snapshot', () => {
  it('reads bound, batch end and rows as of one SCN, which is a bind and is asked for after the open transactions', async () => {
    const recorder = await readWith([CURRENT]);
    const at = recorder.statements.findLastIndex((sql) => CURRENT[0].test(sql));
    const last = Math.max(...[/gv\$session/, /gv\$transaction/, /MAX\(t\."AT"\)/].map((pattern) => recorder.statements.slice(0, at).findLastIndex((sql) => pattern.test(sql))));
    expect(last).toBeGreaterThan(0);
    const table = 'FROM "BANK"."ACCOUNT" AS OF SCN TO_NUMBER(:b1) t';
    const bound = `t."AT" <= TO_TIMESTAMP(:b2, 'SYYYY-MM-DD HH24:MI:SS.FF9')`;
    const rows = `SELECT t."ID" AS c0, TO_CHAR(t."AT", 'SYYYY-MM-DD HH24:MI:SS.FF6') AS c1 ${table}`;
    expect(recorder.statements.slice(at + 1)).toEqual([
      `SELECT 1 ${table} WHERE 1 = 0`,
      `SELECT (SELECT TO_CHAR(MAX(t."AT"), 'SYYYY-MM-DD HH24:MI:SS.FF9') ${table} WHERE ${bound}), (SELECT COUNT(*) ${table} WHERE t."AT" > TO_TIMESTAMP(:b3, 'SYYYY-MM-DD HH24:MI:SS.FF9')), TO_CHAR(SYS_EXTRACT_UTC(SYSTIMESTAMP), 'YYYY-MM-DD"T"HH24:MI:SS.FF6"Z"') FROM DUAL`,
      `SELECT TO_CHAR(t."AT", 'SYYYY-MM-DD HH24:MI:SS.FF9'), TO_CHAR(t."ID", 'TM9') ${table} WHERE ${bound} ORDER BY t."AT", t."ID" OFFSET 9 ROWS FETCH NEXT 2 ROWS ONLY`,
      `${rows} WHERE ${bound}`,
      `${rows} WHERE t."AT" IS NULL`,
    ]);
    const past = recorder.sent.filter(({ sql }) => sql.includes('AS OF SCN'));
    expect(past.map(({ binds }) => binds['b1'])).toEqual(past.map(() => '88123'));
    expect(recorder.statements).not.toContain(BEGIN);
  });

  it('reads plans, parts and slices of a table as of an SCN of their own, and asks once in a session whether it may', async () => {
    const recorder = new OracleRecorder([CURRENT, NAMES, DATABASE, ...CLOCKS]);
    const session = await sessionOn(recorder);
    const plan = await session.planFull(stream, { rowsMax: 10 });
    expect(plan.asOf).toBe('2026-11-20T10:00:00.000000Z');
    const part = await session.readPart(stream, { from: ['1'], to: ['9'], rowEstimate: -1 }, 'copy-text');
    await textOf(part.stream);
    const slice = await session.readSlice?.(stream, { from: '2026-01-01', to: '2026-02-01' }, 'copy-text');
    expect(slice?.asOf).toBe('2026-11-20T10:00:00.000000Z');
    await textOf((slice as NonNullable<typeof slice>).stream);
    const { statements } = recorder;
    expect(statements.filter((sql) => PROBE.test(sql))).toHaveLength(1);
    expect(statements.filter((sql) => CURRENT[0].test(sql)).length).toBeGreaterThanOrEqual(3);
    expect(statements.filter((sql) => /ROW_NUMBER|t\."ID" AS c0/.test(sql)).map((sql) => sql.includes('AS OF SCN TO_NUMBER(:b1) t'))).toEqual([true, true, true]);
    expect(statements).not.toContain(BEGIN);
  });

  it('learns the SCN from the package where the view may not be read', async () => {
    const recorder = await readWith([[/v\$database/, failing('ORA-00942')], PACKAGE]);
    expect(recorder.sent.filter(({ sql }) => sql.includes('AS OF SCN')).every(({ binds }) => binds['b1'] === '88456')).toBe(true);
    expect(looksBack(recorder)).toBe(true);
  });

  it.each<[string, readonly Answer[]]>([
    ['may not look back', [CURRENT, [PROBE, failing('ORA-01031')]]],
    ['reads a table that has no past', [CURRENT, [PROBE, failing('ORA-08187')]]],
    ['can learn no SCN', [[/v\$database/, failing('ORA-00942')], [/DBMS_FLASHBACK/, failing('ORA-00904')]]],
    ['reads a standby', [[CURRENT[0], [['88123', '2026-11-20T10:00:00.000000Z', 'PHYSICAL STANDBY']]]]],
  ])('falls back to a transaction where the user %s', async (_name, answers) => {
    const recorder = await readWith(answers);
    expect(recorder.statements.filter((sql) => sql === BEGIN)).toHaveLength(1);
    expect(looksBack(recorder)).toBe(false);
  });

  it('reads ORA_ROWSCN in a transaction, since flashback queries have none', async () => {
    const recorder = await readWith([CURRENT], { snapshot: 'scn' }, { ...stream, cursor: 'ORA_ROWSCN' });
    expect(recorder.statements).toContain(BEGIN);
    expect(looksBack(recorder)).toBe(false);
  });

  it('takes what the connection says: a transaction for those who may look back, an error for those who may not', async () => {
    const chosen = await readWith([CURRENT], { snapshot: 'transaction' });
    expect(chosen.statements).toContain(BEGIN);
    expect(chosen.statements.some((sql) => CURRENT[0].test(sql))).toBe(false);
    const refused = { code: 'source.privilege_missing', retry: 'permanent', hint: expect.stringContaining('FLASHBACK') };
    await expect(readWith([CURRENT, [PROBE, failing('ORA-01031')]], { snapshot: 'scn' })).rejects.toMatchObject(refused);
    await expect(readWith([[/v\$database/, failing('ORA-00942')], [/DBMS_FLASHBACK/, failing('ORA-00904')]], { snapshot: 'scn' })).rejects.toMatchObject(refused);
    await expect(readWith([CURRENT, [PROBE, failing('ORA-08187')]], { snapshot: 'scn' })).rejects.toMatchObject({ code: 'source.query_failed', hint: expect.stringContaining('transaction') });
    const standby: Answer = [CURRENT[0], [['88123', '2026-11-20T10:00:00.000000Z', 'PHYSICAL STANDBY']]];
    expect(looksBack(await readWith([standby], { snapshot: 'scn' }))).toBe(true);
    expect(() => connectionSchema.parse({ host: 'h', service_name: 'X', user: 'u', password: 'p', snapshot: 'none' })).toThrow();
  });

  it('does not take a passing trouble for a missing privilege', async () => {
    const interrupted: readonly Answer[] = [CURRENT, [PROBE, failing('ORA-01466')]];
    await expect(readWith(interrupted, { snapshot: 'scn' })).rejects.toMatchObject({ code: 'source.read_interrupted', retry: 'transient' });
    const recorder = new OracleRecorder([...interrupted, NAMES, DATABASE, ...CLOCKS]);
    const session = await sessionOn(recorder);
    for (let part = 0; part < 2; part += 1) await textOf((await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text')).stream);
    expect(recorder.statements.filter((sql) => PROBE.test(sql))).toHaveLength(2);
    expect(recorder.statements.filter((sql) => sql === BEGIN)).toHaveLength(2);
    await expect(readWith([[CURRENT[0], failing('ORA-03113')]])).rejects.toMatchObject({ code: 'source.connection_lost' });
  });

  it.each(['ORA-01555', 'ORA-08180', 'ORA-08181', 'ORA-22924', 'ORA-01466'])('%s is read again', (code) => {
    expect(toTidemarkError(failing(code), 'table BANK.ACCOUNT')).toMatchObject({ code: 'source.read_interrupted', retry: 'transient', hint: expect.stringContaining('again') });
  });

  it.each<[string, object, readonly Answer[], readonly string[]]>([
    ['all of it', {}, [CURRENT, [/session_privs/, [['1', '0']]]], ['are AS OF SCN']],
    ['some tables', {}, [CURRENT, [/session_privs/, [['0', '3']]]], ['3 with FLASHBACK granted', 'FLASHBACK ANY TABLE']],
    ['no SCN', {}, [[/DBMS_FLASHBACK|current_scn/, failing('ORA-00942')]], ['READ ONLY', 'V_$DATABASE', 'DBMS_FLASHBACK', 'FLASHBACK on the tables']],
    ['a standby', {}, [[CURRENT[0], [['88123', 'x', 'PHYSICAL STANDBY']]]], ['READ ONLY', 'standby']],
    ['a choice', { snapshot: 'transaction' }, [CURRENT], ['READ ONLY', 'connection.snapshot']],
    ['a choice that fails', { snapshot: 'scn' }, [[/DBMS_FLASHBACK|current_scn/, failing('ORA-00942')]], ['will fail', 'V_$DATABASE']],
  ])('check says which one it is, and what the other takes: %s', async (_name, more, answers, words) => {
    const { notes } = await (await sessionOn(new OracleRecorder([...answers, NAMES, DATABASE]), more)).server();
    expect(notes).toHaveLength(1);
    for (const word of words) expect(notes?.[0]).toContain(word);
  });
});

describeWith({ postgres: true }, 'an oracle snapshot that rows are read from', () => {
  let database: PostgresDatabase;
  let oracle: OracleStandIn;
  let session: SourceSession;
  const told = streamOf('TOLD', [column('ID', 'NUMBER(20,0)'), column('AT', 'TIMESTAMP(6)', true), column('V', 'VARCHAR2(20 CHAR)', true)], 'AT');
  const rowsOf = async (): Promise<string[]> => (await database.query('SELECT "ID"::text AS id, "V" AS v FROM "BANK"."TOLD"')).map(({ id, v }) => `${id}=${v}`).sort();
  const heldBy = (target: Target): string[] => [...target.rows.values()].map((line) => line.split('\t')).map(([id, , v]) => `${id}=${v}`).sort();

  beforeAll(async () => {
    const server = await PrivatePostgres.start({ track_commit_timestamp: 'on', autovacuum: 'off' });
    database = await server.createDatabase('oracle');
    oracle = await OracleStandIn.make(database);
    session = await sessionOn(oracle);
    await database.query('CREATE TABLE "BANK"."TOLD" ("ID" numeric PRIMARY KEY, "AT" timestamp, "V" text)');
  });
  afterAll(() => session.close());
  beforeEach(async () => {
    oracle.beforeStatement = async () => undefined;
    oracle.noFlashback.clear();
    oracle.statements.splice(0);
    await database.query(`TRUNCATE "BANK"."TOLD"; INSERT INTO "BANK"."TOLD" VALUES (1, '2026-01-01', 'a'), (2, '2026-01-02', 'b'), (3, '2026-01-03', 'c'), (4, NULL, 'null')`);
  });

  /** Does something once, before the first statement that a pattern matches. */
  function once(pattern: RegExp, work: () => Promise<unknown>): void {
    let done = false;
    oracle.beforeStatement = async (sql) => {
      if (done || !pattern.test(sql)) return;
      done = true;
      await work();
    };
  }

  it.each(['scn', 'transaction'] as const)('holds nothing of what is committed after it, and its position neither: %s', async (snapshot) => {
    const own = await sessionOn(oracle, { snapshot });
    once(/^SELECT \(SELECT TO_CHAR\(MAX/, () => database.query(`INSERT INTO "BANK"."TOLD" VALUES (5, '2026-01-05', 'after'); UPDATE "BANK"."TOLD" SET "V" = 'changed', "AT" = '2026-01-06' WHERE "ID" = 1; DELETE FROM "BANK"."TOLD" WHERE "ID" = 2`));
    const target = new Target();
    await target.batch(own, told, 10);
    expect(heldBy(target)).toEqual(['1=a', '2=b', '3=c', '4=null']);
    expect(target.position?.display).toBe('2026-01-03T00:00:00');
    await target.run(own, told);
    target.rows.delete('2');
    expect(heldBy(target)).toEqual(await rowsOf());
    await own.close();
  });

  it('is a new one for each batch of a run, since batches are ordered by their snapshots', async () => {
    const target = new Target();
    const first = await target.batch(session, told, 1);
    expect(first.more).toBe(true);
    await database.query(`UPDATE "BANK"."TOLD" SET "V" = 'newer' WHERE "ID" = 3`);
    await target.run(session, told, 1);
    expect(heldBy(target)).toContain('3=newer');
    const scns = oracle.statements.filter((sql) => sql.startsWith('SELECT TO_CHAR(current_scn)'));
    expect(scns.length).toBeGreaterThanOrEqual(3);
    expect(oracle.statements).not.toContain(BEGIN);
  });

  it.each([
    ['at the bound', /^SELECT \(SELECT TO_CHAR\(MAX/],
    ['at the rows', /^SELECT t\."ID" AS c0.*"AT" <=/],
    ['at the rows without a cursor', /^SELECT t\."ID" AS c0.*IS NULL$/],
  ])('that is too old %s fails its read, which is then made again in a newer one', async (_where, pattern) => {
    const target = new Target();
    once(pattern, () => oracle.forget());
    await expect(target.batch(session, told, 10)).rejects.toMatchObject({ code: 'source.read_interrupted', retry: 'transient' });
    expect(target.position).toBeNull();
    await database.query(`INSERT INTO "BANK"."TOLD" VALUES (6, '2026-01-02', 'meanwhile')`);
    await target.run(session, told, 10);
    expect(heldBy(target)).toEqual(await rowsOf());
  });

  it('that is too old in the middle of a run keeps the bound of the run', async () => {
    const target = new Target();
    await target.batch(session, told, 1);
    const { position } = target;
    once(/^SELECT t\."ID" AS c0/, () => oracle.forget());
    await expect(target.batch(session, told, 1)).rejects.toMatchObject({ code: 'source.read_interrupted' });
    expect(target.position).toBe(position);
    await database.query(`INSERT INTO "BANK"."TOLD" VALUES (7, '2026-01-09', 'beyond the bound')`);
    await target.run(session, told, 1);
    expect(target.rows.has('7')).toBe(false);
    await target.run(session, told, 1);
    expect(heldBy(target)).toEqual(await rowsOf());
  });

  it('is a transaction for tables that may not be looked back at, and an SCN for the others of the session', async () => {
    await database.query('CREATE TABLE "BANK"."OPEN" AS SELECT * FROM "BANK"."TOLD"');
    oracle.noFlashback.add('TOLD');
    const own = await sessionOn(oracle);
    const target = new Target();
    await target.run(own, told, 1);
    expect(heldBy(target)).toEqual(await rowsOf());
    expect(oracle.statements).toContain(BEGIN);
    oracle.statements.splice(0);
    const read = await own.readPart({ ...told, table: { ...told.table, name: 'OPEN' } }, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    expect((await textOf(read.stream)).split('\n')).toHaveLength(5);
    expect(oracle.statements).not.toContain(BEGIN);
    await own.close();
  });
});
