/** The way of the watermark, on a stand-in that runs the connector's statements with real snapshots and open transactions. */
import { connectorWith } from '../../connectors/oracle/connect.ts';
import { connectionSchema } from '../../connectors/oracle/connection.ts';
import type { SourceSession, StreamRead } from '../../connectors/connector.ts';
import type { Position } from '../../schemas/position.ts';
import { describeWith } from '../support/describe-with.ts';
import { PrivatePostgres, type PostgresDatabase } from '../support/postgres.ts';
import { OracleStandIn } from './oracle-stand-in.ts';
import { column, streamOf, Target, textOf } from './oracle-target.ts';

const isSnapshot = (sql: string): boolean => sql === 'SET TRANSACTION READ ONLY' || sql.startsWith('SELECT TO_CHAR(current_scn)');

for (const snapshot of ['scn', 'transaction'] as const) describeWith({ postgres: true }, `oracle watermark, snapshot: ${snapshot}`, () => {
  const settings = connectionSchema.parse({ host: 'db.example', service_name: 'ORCLPDB1', user: 'reader', password: 'secret', snapshot });
  let database: PostgresDatabase;
  let oracle: OracleStandIn;
  let session: SourceSession;
  let tables = 0;

  beforeAll(async () => {
    const server = await PrivatePostgres.start({ track_commit_timestamp: 'on', autovacuum: 'off' });
    database = await server.createDatabase('oracle');
    oracle = await OracleStandIn.make(database);
    session = await open();
  });
  afterAll(() => session.close());
  beforeEach(async () => {
    await database.query('DELETE FROM oracle.running');
  });

  function open(signal: AbortSignal = new AbortController().signal): Promise<SourceSession> {
    return connectorWith(oracle).connect(settings, { applicationName: 'tidemark hq', connectTimeoutMs: 5000, statementTimeoutMs: 60_000, signal });
  }

  /** A table of its own with ID, a cursor of the given type, and V. */
  async function makeTable(cursorType = 'timestamp', nativeType = 'TIMESTAMP(6)'): Promise<{ name: string; stream: StreamRead; insert(values: string): Promise<unknown>; same(target: Target): Promise<void> }> {
    tables += 1;
    const name = `T${tables}`;
    await database.query(`CREATE TABLE "BANK"."${name}" ("ID" numeric PRIMARY KEY, "C" ${cursorType}, "V" text)`);
    const stream = streamOf(name, [column('ID', 'NUMBER(20,0)'), column('C', nativeType, true), column('V', 'VARCHAR2(20 CHAR)', true)], 'C');
    const insert = (values: string): Promise<unknown> => database.query(`INSERT INTO "BANK"."${name}" VALUES ${values}`);
    const same = async (target: Target): Promise<void> => {
      const rows = await database.query(`SELECT "ID"::text AS id, "V" AS v FROM "BANK"."${name}"`);
      const expected = rows.map(({ id, v }) => `${id}=${v}`).sort();
      expect([...target.rows.values()].map((line) => line.split('\t')).map(([id, , v]) => `${id}=${v}`).sort()).toEqual(expected);
    };
    return { name, stream, insert, same };
  }

  it('pages equal cursor values, and reads only the bound again when nothing happened', async () => {
    const { stream, insert, same } = await makeTable();
    await insert("(1, '2026-01-01 10:00:00', 'a'), (2, '2026-01-01 10:00:00', 'b'), (3, '2026-01-01 10:00:00', 'c'), (4, '2026-01-01 10:00:00', 'd'), (5, '2026-01-01 10:00:00.000001', 'e'), (6, '2026-01-01 10:00:00.000002', 'f'), (7, '2026-01-01 11:00:00', 'g')");
    const target = new Target();
    expect(await target.run(session, stream, 2)).toBe(7);
    await same(target);
    expect(target.batches).toBe(4);
    expect(target.position?.display).toBe('2026-01-01T11:00:00');
    expect(await target.run(session, stream, 2)).toBe(1);
    await insert("(8, '2026-01-01 11:00:00', 'h')");
    expect(await target.run(session, stream, 2)).toBe(2);
    await same(target);
    expect(target.position?.display).toBe('2026-01-01T11:00:00');
  });

  it('gives each row once in thousands of one value', async () => {
    const { name, stream, same } = await makeTable();
    await database.query(`INSERT INTO "BANK"."${name}" SELECT i, '2026-01-01', 'x' FROM generate_series(1, 4503) i`);
    const target = new Target();
    expect(await target.run(session, stream, 1000)).toBe(4503);
    await same(target);
  });

  it('reads a row that a transaction commits late, by time and by number', async () => {
    for (const kind of ['time', 'number'] as const) {
      const { name, stream, insert, same } = kind === 'time' ? await makeTable() : await makeTable('numeric', 'NUMBER(20,0)');
      const value = (at: number): string => (kind === 'time' ? `'2026-01-01 10:00:0${at}'` : `900719925474099${at}`);
      await insert(`(1, ${value(1)}, 'a')`);
      const target = new Target();
      await target.run(session, stream);
      const late = await database.client();
      await late.query(`BEGIN; INSERT INTO "BANK"."${name}" VALUES (2, ${value(2)}, 'late')`);
      await insert(`(3, ${value(3)}, 'c')`);
      await target.run(session, stream);
      await insert(`(4, ${value(4)}, 'd')`);
      await target.run(session, stream);
      expect(await session.poll(stream, target.position as Position)).toBe(false);
      await late.query('COMMIT');
      expect(await session.poll(stream, target.position as Position)).toBe(true);
      await target.run(session, stream);
      await same(target);
      await target.run(session, stream);
      expect(await target.run(session, stream)).toBe(1);
    }
  });

  it('reads a row of a transaction that begins and commits between the questions and the snapshot', async () => {
    const { name, stream, insert, same } = await makeTable('numeric', 'NUMBER(20,0)');
    await insert("(1, 1, 'a'), (2, 5, 'b')");
    const target = new Target();
    await target.run(session, stream);
    const late = await database.client();
    let step = 0;
    oracle.beforeStatement = async (sql) => {
      if (isSnapshot(sql) && step === 0) {
        step = 1;
        await late.query(`BEGIN; INSERT INTO "BANK"."${name}" VALUES (3, 6, 'between')`);
        await insert("(4, 7, 'd')");
      }
    };
    await target.run(session, stream);
    oracle.beforeStatement = async () => undefined;
    await late.query('COMMIT');
    await target.run(session, stream);
    await same(target);
  });

  it('reaches back for a statement that runs without a transaction yet', async () => {
    const { stream, insert, same } = await makeTable('numeric', 'NUMBER(20,0)');
    await insert("(1, 1, 'a')");
    const target = new Target();
    await target.run(session, stream);
    await database.query('INSERT INTO oracle.running VALUES (3600)');
    await insert("(2, 9, 'b')");
    await target.run(session, stream);
    await database.query('DELETE FROM oracle.running');
    await insert("(3, 5, 'drawn before, written after')");
    await target.run(session, stream);
    await same(target);
  });

  it('reads NULL cursors and far-future rows once in each run, and the watermark stays', async () => {
    const { name, stream, insert, same } = await makeTable();
    await insert("(1, NULL, 'null'), (2, '2026-01-01', 'b'), (3, '9999-12-31 23:59:59', 'future'), (4, '2026-01-02', 'd')");
    const target = new Target();
    const first = await target.batch(session, stream, 1);
    expect(first.futureRows).toBe(1);
    expect(first.rowsRead()).toBe(3);
    await target.run(session, stream, 1);
    await same(target);
    expect(target.position?.display).toBe('2026-01-02T00:00:00');
    await database.query(`UPDATE "BANK"."${name}" SET "C" = '2026-01-03' WHERE "ID" = 1`);
    await database.query(`UPDATE "BANK"."${name}" SET "C" = NULL, "V" = 'cleared' WHERE "ID" = 2`);
    await insert("(5, NULL, 'later null'), (6, '2026-01-04', 'f')");
    await target.run(session, stream, 1);
    await same(target);
    expect(target.position?.display).toBe('2026-01-04T00:00:00');
  });

  it('a row ahead of the clock but within the fence hides nothing', async () => {
    const { name, stream, insert, same } = await makeTable();
    await insert("(1, '2026-01-01', 'a')");
    await database.query(`INSERT INTO "BANK"."${name}" VALUES (2, localtimestamp + interval '1 hour', 'ahead')`);
    const target = new Target();
    await target.run(session, stream);
    await database.query(`INSERT INTO "BANK"."${name}" VALUES (3, localtimestamp, 'now')`);
    await target.run(session, stream);
    await same(target);
  });

  it('reads rows that move while they are paged, and none that were rolled back', async () => {
    const { name, stream, insert, same } = await makeTable();
    await insert("(1, '2026-01-01', 'a'), (2, '2026-01-02', 'b'), (3, '2026-01-03', 'c'), (4, '2026-01-04', 'd')");
    const target = new Target();
    await target.batch(session, stream, 2);
    await database.query(`UPDATE "BANK"."${name}" SET "C" = '2026-01-05', "V" = 'moved' WHERE "ID" = 3`);
    const undone = await database.client();
    await undone.query(`BEGIN; INSERT INTO "BANK"."${name}" VALUES (9, '2026-01-03', 'undone')`);
    await target.run(session, stream, 2);
    await undone.query('ROLLBACK');
    await target.run(session, stream, 2);
    await same(target);
  });

  it.each([
    ['date', 'timestamp(0)', 'DATE'],
    ['instants', 'timestamptz', 'TIMESTAMP(6) WITH TIME ZONE'],
    ['local instants', 'timestamptz', 'TIMESTAMP(6) WITH LOCAL TIME ZONE'],
  ])('follows a cursor of %s', async (_name, type, nativeType) => {
    const { stream, insert, same } = await makeTable(type, nativeType);
    await insert("(1, '2026-01-01 10:00:00', 'a'), (2, '2026-01-01 10:00:00', 'b'), (3, '2026-01-01 10:00:01', 'c'), (4, '9999-01-01', 'future')");
    const target = new Target();
    await target.run(session, stream, 1);
    await insert("(5, '2026-01-01 10:00:01', 'same second'), (6, '1969-01-01', 'unseen: behind the watermark')");
    await target.run(session, stream, 1);
    expect(target.rows.has('6')).toBe(false);
    expect(target.rows.size).toBe(5);
    await database.query(`DELETE FROM "BANK"."${stream.table.name}" WHERE "ID" = 6`);
    await same(target);
  });

  it('orders text cursors and text keys of any characters', async () => {
    const { name, stream } = await makeTable('text COLLATE "C"', 'VARCHAR2(20 CHAR)');
    await database.query(`ALTER TABLE "BANK"."${name}" ALTER "ID" TYPE text COLLATE "C"`);
    const keys = ["a'b", 'back\\slash', 'tab\there', 'Ä', 'a', 'A', '日本', '"', '%', '9', '10'];
    for (const [index, key] of keys.entries()) await database.query(`INSERT INTO "BANK"."${name}" VALUES ($1, $2, 'v')`, [key, index % 2 === 0 ? '9' : '10']);
    const target = new Target();
    const text: StreamRead = { ...stream, table: { ...stream.table, columns: [column('ID', 'VARCHAR2(20 CHAR)'), ...stream.table.columns.slice(1)] } };
    expect(await target.run(session, text, 2)).toBe(keys.length);
    expect(target.rows.size).toBe(keys.length);
  });

  it('starts on an empty table, takes a first row before the epoch, and stays where it is without news', async () => {
    const { stream, insert, same } = await makeTable();
    const target = new Target();
    expect(await target.run(session, stream)).toBe(0);
    expect(target.position?.display).toBeNull();
    await insert("(1, '1969-12-31', 'old')");
    await target.run(session, stream);
    await same(target);
    const { display } = target.position as Position;
    for (let run = 0; run < 3; run += 1) await target.run(session, stream);
    expect(target.position?.display).toBe(display);
    await database.query(`DELETE FROM "BANK"."${stream.table.name}"`);
    await target.run(session, stream);
    expect(target.position?.display).toBe(display);
  });

  it('builds the whole table from parts and goes on from before the first of them', async () => {
    const { stream, insert, same } = await makeTable();
    await insert("(1, '2026-01-01', 'a'), (2, '2026-01-02', 'b'), (3, NULL, 'c'), (4, '2026-01-04', 'd'), (5, '2026-01-05', 'e')");
    const plan = await session.planFull(stream, { rowsMax: 2 });
    expect(plan.parts.map(({ from, to }) => [from, to])).toEqual([[null, ['2']], [['2'], ['4']], [['4'], null]]);
    const target = new Target();
    for (const part of plan.parts) {
      const read = await session.readPart(stream, part, 'copy-text');
      target.load(await textOf(read.stream));
      await insert(`(${10 + target.rows.size}, '2026-01-0${5 + Math.min(4, target.rows.size)}', 'meanwhile')`);
    }
    target.position = plan.position;
    expect(await session.poll(stream, plan.position)).toBe(true);
    await target.run(session, stream);
    await same(target);
    expect(await session.poll(stream, target.position)).toBe(false);
    expect(plan.guarantee).toBe('exact');
  });

  it('tells by a poll whether a table without cursor changed, deletes included', async () => {
    const { name, stream, insert } = await makeTable();
    const whole = { ...stream, cursor: null };
    await insert("(1, NULL, 'a'), (2, NULL, 'b')");
    const { position, guarantee } = await session.planFull(whole, { rowsMax: 10 });
    expect(guarantee).toBe('full refresh');
    expect(await session.poll(whole, position)).toBe(false);
    await database.query(`DELETE FROM "BANK"."${name}" WHERE "ID" = 1`);
    expect(await session.poll(whole, position)).toBe(true);
    await insert("(3, NULL, 'instead')");
    expect(await session.poll(whole, position)).toBe(true);
  });

  it('follows ORA_ROWSCN without a cursor column', async () => {
    const { name, stream, insert, same } = await makeTable();
    const scn = { ...stream, cursor: 'ORA_ROWSCN' };
    await insert("(1, NULL, 'a'), (2, NULL, 'b')");
    const target = new Target();
    expect(await target.run(session, scn, 1)).toBe(2);
    expect(await session.poll(scn, target.position as Position)).toBe(false);
    const late = await database.client();
    await late.query(`BEGIN; UPDATE "BANK"."${name}" SET "V" = 'late' WHERE "ID" = 1`);
    await insert("(3, NULL, 'c')");
    expect(await target.run(session, scn)).toBe(1);
    await late.query('COMMIT');
    expect(await target.run(session, scn)).toBe(1);
    await same(target);
  });

  it('without the privilege to see open transactions re-reads the overlap and says so', async () => {
    await database.query('ALTER VIEW oracle.gv_transaction RENAME TO hidden');
    const blind = await open();
    try {
      const { warnings } = await blind.server();
      expect(warnings.join()).toContain('GV_$TRANSACTION');
      const { name, stream, same } = await makeTable();
      const at = (seconds: number): string => `localtimestamp - interval '${seconds} seconds'`;
      await database.query(`INSERT INTO "BANK"."${name}" VALUES (1, ${at(300)}, 'a'), (2, ${at(10)}, 'b')`);
      const target = new Target();
      const read = await target.batch(blind, stream, 10);
      expect(read.guarantee).toBe('within 60s');
      await database.query(`INSERT INTO "BANK"."${name}" VALUES (3, ${at(40)}, 'late, within'), (4, ${at(200)}, 'late, beyond')`);
      expect(await target.run(blind, stream)).toBe(2);
      expect(target.rows.has('4')).toBe(false);
      await database.query(`DELETE FROM "BANK"."${name}" WHERE "ID" = 4`);
      await same(target);
    } finally {
      await blind.close();
      await database.query('ALTER VIEW oracle.hidden RENAME TO gv_transaction');
    }
  });

  it('refuses a position of another server, table or time', async () => {
    const { stream, insert } = await makeTable();
    await insert("(1, '2026-01-01', 'a')");
    const target = new Target();
    await target.run(session, stream);
    const position = target.position as Position;
    const lost = expect.objectContaining({ code: 'source.history_lost' });
    await expect(session.poll(stream, { ...position, server: 'ORCL/ORCLPDB1/99' })).rejects.toEqual(lost);
    await expect(session.poll({ ...stream, table: { ...stream.table, identity: 'made again' } }, position)).rejects.toEqual(lost);
    const state = position.state as Record<string, unknown>;
    await expect(session.readFrom(stream, { ...position, state: { ...state, scn: `${String(state['scn'])}0` } }, { rowsMax: 1 }, 'copy-text')).rejects.toEqual(lost);
    await database.query(`UPDATE oracle.incarnation SET resetlogs_change = ${String(state['scn'])}`);
    await expect(session.poll(stream, position)).rejects.toEqual(lost);
    await database.query(`UPDATE oracle.incarnation SET resetlogs_change = ${BigInt(String(state['scn'])) + 1n}`);
    expect(await session.poll(stream, position)).toBe(false);
    await database.query('UPDATE oracle.incarnation SET resetlogs_change = 1');
  });

  it('reads the same from the same position again', async () => {
    const { stream, insert } = await makeTable();
    await insert("(1, '2026-01-01', 'a'), (2, '2026-01-02', 'b'), (3, '2026-01-03', 'c')");
    const target = new Target();
    await target.batch(session, stream, 1);
    const position = target.position as Position;
    const [once, twice] = [new Target(), new Target()];
    for (const each of [once, twice]) {
      each.position = position;
      await each.run(session, stream, 1);
    }
    expect([...twice.rows]).toEqual([...once.rows]);
  });

  it('cancels the statement at the server when the stream is destroyed or the session aborted', async () => {
    await database.query(`CREATE VIEW "BANK"."SLOW" AS SELECT i::numeric AS "ID", pg_sleep(3600)::text AS "V" FROM generate_series(1, 2) i`);
    const slow = streamOf('SLOW', [column('ID', 'NUMBER'), column('V', 'VARCHAR2(20 CHAR)', true)], null, []);
    const sleeping = (): Promise<string | null> => database.value("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%SLOW%' AND pid <> pg_backend_pid()");
    // A statement that is not cancelled sleeps longer than the test may take.
    const until = async (count: '0' | '1'): Promise<void> => {
      while ((await sleeping()) !== count) await new Promise((resolve) => setTimeout(resolve, 20));
    };
    const read = await session.readPart(slow, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    read.stream.resume();
    await until('1');
    const closed = new Promise((resolve) => read.stream.once('close', resolve));
    read.stream.destroy();
    await closed;
    await until('0');
    expect((await session.server()).database).toBe('ORCLPDB1');

    const abort = new AbortController();
    const other = await open(abort.signal);
    const doomed = await other.readPart(slow, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    const failed = textOf(doomed.stream);
    await until('1');
    abort.abort();
    await expect(failed).rejects.toMatchObject({ code: 'batch.cancelled' });
    await until('0');
    await other.close();
  });
});
