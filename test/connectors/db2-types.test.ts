/** Values of every type of Derby, through IBM's driver into COPY text: as the server's own client prints them. */
import { columnOf, mapType, nativeTypeText, parseType } from '../../connectors/db2/types.ts';
import { readRows } from '../conformance/copy-text.ts';
import { describeWith } from '../support/describe-with.ts';
import { createDerby, type DerbyDatabase } from '../support/derby.ts';
import { createDatabase } from '../support/postgres.ts';
import { openSession, streamOf } from './db2-engine.ts';

const NUL = '\u0000';
const LONG = 100_000;

const COLUMNS: Readonly<Record<string, readonly [type: string, ...values: (readonly [literal: string, expected: string])[]]>> = {
  SI: ['smallint', ['-32768', '-32768'], ['32767', '32767']],
  I: ['integer', ['-2147483648', '-2147483648'], ['2147483647', '2147483647']],
  BI: ['bigint', ['-9223372036854775808', '-9223372036854775808'], ['9007199254740993', '9007199254740993']],
  D: ['decimal(31,10)', ['123456789012345678901.0123456789', '123456789012345678901.0123456789'], ['-0.0000000001', '-0.0000000001']],
  DS: ['decimal(31,31)', ['.1234567890123456789012345678901', '0.1234567890123456789012345678901'], ['0', '0.0000000000000000000000000000000']],
  R: ['real', ['0.1', '0.1'], ['-3.402E+38', '-3.402e+38']],
  F: ['double', ['0.1', '0.1'], ['1.79769E+308', '1.79769e+308']],
  C: ['char(5)', [`'ab'`, 'ab   '], [`'äöü€'`, 'äöü€ ']],
  V: ['varchar(60)', [`'tail  '`, 'tail  '], [`''`, '']],
  V2: ['varchar(60)', [`'\\N'`, '\\N'], [`'𝄞 clef 日本'`, '𝄞 clef 日本']],
  LV: ['long varchar', [`'long'`, 'long'], [`'\\.'`, '\\.']],
  CL: ['clob(1M)', [`cast('clobby' as clob)`, 'clobby'], [`cast('' as clob)`, '']],
  CB: ['char(4) for bit data', [`X'00FF0102'`, '\\x00ff0102'], [`X'41'`, '\\x41202020']],
  VB: ['varchar(20) for bit data', [`X'00ff5c0a'`, '\\x00ff5c0a'], [`X''`, '\\x']],
  BL: ['blob(1M)', [`cast(X'00ff10' as blob)`, '\\x00ff10'], [`cast(X'' as blob)`, '\\x']],
  DT: ['date', [`'0001-01-01'`, '0001-01-01'], [`'9999-12-31'`, '9999-12-31']],
  TM: ['time', [`'00:00:00'`, '00:00:00'], [`'23:59:59'`, '23:59:59']],
  TS: ['timestamp', [`timestamp('2024-02-29 23:59:59.123456')`, '2024-02-29 23:59:59.123456'], [`timestamp('1583-01-01 00:00:00.000001')`, '1583-01-01 00:00:00.000001']],
  BO: ['boolean', ['true', 't'], ['false', 'f']],
};

describeWith({ db2: true, postgres: true }, 'values of db2', () => {
  let database: DerbyDatabase;

  beforeAll(async () => {
    database = await createDerby('types');
    const entries = Object.entries(COLUMNS);
    await database.run(`CREATE TABLE kinds (id int NOT NULL PRIMARY KEY, ${entries.map(([name, [type]]) => `${name} ${type}`).join(', ')})`);
    for (const row of [1, 2]) await database.run(`INSERT INTO kinds VALUES (${row}, ${entries.map(([, values]) => (values[row] as readonly [string, string])[0]).join(', ')})`);
    await database.run('INSERT INTO kinds (id) VALUES (3)');
  });

  test('arrive in PostgreSQL as they are, in columns of the mapped types', async () => {
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'kinds', null);
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    const { rows, refused } = await readRows(read, stream.columns.length);
    expect(refused).toEqual([]);
    const target = await createDatabase('db2types');
    const columns = stream.table.columns.map(({ targetName, pgType }) => `"${targetName}" ${pgType}`);
    await target.query(`CREATE TABLE kinds (${columns.join(', ')})`);
    const client = await target.client();
    for (const row of rows) await client.query(`INSERT INTO kinds VALUES (${row.map((_, at) => `$${at + 1}`).join(', ')})`, [...row]);
    const { rows: found } = await client.query({ text: `SELECT ${stream.table.columns.map(({ targetName }) => `"${targetName}"`).join(', ')} FROM kinds ORDER BY id`, rowMode: 'array' });
    await client.end();
    for (const row of [1, 2]) expect(found[row - 1]).toEqual([String(row), ...Object.values(COLUMNS).map((values) => (values[row] as readonly [string, string])[1])]);
    expect(found[2]).toEqual(['3', ...Object.keys(COLUMNS).map(() => null)]);
  });

  test('a text with U+0000 is refused with its row, never cut; the others pass', async () => {
    await database.run('CREATE TABLE nul (id int NOT NULL PRIMARY KEY, v varchar(20), w varchar(20))');
    await database.run(`INSERT INTO nul VALUES (1, 'a${NUL}b', 'x'), (2, 'fine', 'y')`);
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'nul', null);
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    const { rows } = await readRows({ ...read, marksRejects: false, rowsRead: () => 2 }, 5);
    const refused = rows.find((row) => row[3] !== null);
    expect(refused?.slice(0, 3)).toEqual([null, null, null]);
    expect(JSON.parse(refused?.[3] ?? '')).toEqual([{ column: 'V', code: 'text.nul' }]);
    expect(JSON.parse(refused?.[4] ?? '')).toEqual({ ID: '1', V: null, W: 'x' });
    expect(rows.find((row) => row[3] === null)?.slice(0, 3)).toEqual(['2', 'fine', 'y']);
  });

  test('without marks rows come without their two fields, the empty text first too, and the first row to be refused fails the read', async () => {
    await database.run('CREATE TABLE unmarked (v varchar(20) NOT NULL PRIMARY KEY, w varchar(20))');
    await database.run(`INSERT INTO unmarked VALUES ('', ''), ('b', NULL)`);
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'unmarked', null);
    const whole = { from: null, to: null, rowEstimate: -1 };
    const good = await session.readPart(stream, whole, 'copy-text', 'fail');
    expect(good.marksRejects).toBe(false);
    expect((await readRows(good, 2)).rows).toEqual([['', ''], ['b', null]]);
    await database.run(`INSERT INTO unmarked VALUES ('c${NUL}', 'x')`);
    const bad = async () => readRows(await session.readPart(stream, whole, 'copy-text', 'fail'), 2);
    await expect(bad()).rejects.toMatchObject({ code: 'source.row_refused' });
  });

  test('a text longer than a block holds comes whole, piece by piece', async () => {
    await database.run('CREATE TABLE longs (id int NOT NULL PRIMARY KEY, cl clob(10M))');
    await database.run(`INSERT INTO longs VALUES (1, 'ab€d𝄞7'), (2, NULL)`);
    for (let length = 7; length < LONG; length *= 2) await database.run('UPDATE longs SET cl = cl || cl WHERE id = 1');
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'longs', null);
    const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
    const { rows, refused } = await readRows(read, 2);
    expect(refused).toEqual([]);
    const text = rows.find(([id]) => id === '1')?.[1] ?? '';
    expect([text.length, text === 'ab€d𝄞7'.repeat(text.length / 7)]).toEqual([114_688, true]);
  });

  test('a timestamp with nanoseconds, which the type of the target has no place for, is refused with its row', async () => {
    await database.run('CREATE TABLE nanos (id int NOT NULL PRIMARY KEY, ts timestamp)');
    await database.run(`INSERT INTO nanos VALUES (1, timestamp('2024-02-29 23:59:59.123456789')), (2, timestamp('2024-02-29 23:59:59.123456'))`);
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'nanos', null);
    const { rows, refused } = await readRows(await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text'), 2);
    expect([rows, refused]).toEqual([[[null, null], ['2', '2024-02-29 23:59:59.123456']], [0]]);
  });

  test('names: quoted, mixed case, colliding, reserved by PostgreSQL', async () => {
    await database.run('CREATE TABLE "Odd.Name" ("id" int NOT NULL, ID int NOT NULL, "XMIN" int, "We ""quote""" int, PRIMARY KEY ("id"))');
    const session = await openSession(database.connection);
    const exact = await session.describe('Odd.Name');
    expect(exact.columns.map(({ name }) => name)).toEqual(['id', 'ID', 'XMIN', 'We "quote"']);
    expect(exact.columns.map(({ targetName }) => targetName)).toEqual([expect.stringMatching(/^id_[0-9a-f]{8}$/), 'id', expect.stringMatching(/^xmin_/), 'we "quote"']);
    expect((await session.describe('APP."Odd.Name"')).name).toBe('Odd.Name');
    expect((await session.describe('app.kinds')).name).toBe('KINDS');
    const stream = { ...(await streamOf(session, 'Odd.Name', null)) };
    await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text').then((read) => readRows(read, 4));
  });

  test('a type without a faithful place is described, and refused by name when it is read', async () => {
    await database.run('CREATE TABLE docs (id int NOT NULL PRIMARY KEY, doc xml)');
    const session = await openSession(database.connection);
    const stream = await streamOf(session, 'docs', null);
    const part = { from: null, to: null, rowEstimate: -1 };
    await expect(session.readPart(stream, part, 'copy-text')).rejects.toMatchObject({ code: 'source.type_unsupported', message: expect.stringContaining('DOC') });
    await readRows(await session.readPart({ ...stream, columns: ['ID'] }, part, 'copy-text'), 1);
  });
});

describe('types of Db2', () => {
  const pg = (native: string, types?: Record<string, string>): string | null => mapType(parseType(native), types)?.pgType ?? null;

  test('each catalog type has its spelling and its target', () => {
    const rows: readonly [typeName: string, length: number, scale: number, codePage: number, native: string, target: string][] = [
      ['SMALLINT', 2, 0, 0, 'SMALLINT', 'smallint'],
      ['INTEGER', 4, 0, 0, 'INTEGER', 'integer'],
      ['BIGINT', 8, 0, 0, 'BIGINT', 'bigint'],
      ['DECIMAL', 31, 31, 0, 'DECIMAL(31,31)', 'numeric(31,31)'],
      ['DECFLOAT', 16, 0, 0, 'DECFLOAT(34)', 'numeric'],
      ['DECFLOAT', 8, 0, 0, 'DECFLOAT(16)', 'numeric'],
      ['REAL', 4, 0, 0, 'REAL', 'real'],
      ['DOUBLE', 8, 0, 0, 'DOUBLE', 'double precision'],
      ['CHARACTER', 10, 0, 1208, 'CHAR(10)', 'character(10)'],
      ['CHARACTER', 10, 0, 0, 'CHAR(10) FOR BIT DATA', 'bytea'],
      ['VARCHAR', 40, 0, 850, 'VARCHAR(40) CODEPAGE 850', 'character varying(40)'],
      ['VARCHAR', 40, 0, 0, 'VARCHAR(40) FOR BIT DATA', 'bytea'],
      ['LONG VARCHAR', 32_700, 0, 1208, 'LONG VARCHAR', 'text'],
      ['CLOB', 1_048_576, 0, 1208, 'CLOB(1048576)', 'text'],
      ['GRAPHIC', 8, 0, 1200, 'GRAPHIC(8)', 'character(8)'],
      ['VARGRAPHIC', 8, 0, 1200, 'VARGRAPHIC(8)', 'character varying(8)'],
      ['DBCLOB', 8, 0, 1200, 'DBCLOB(8)', 'text'],
      ['BINARY', 8, 0, 0, 'BINARY(8)', 'bytea'],
      ['VARBINARY', 8, 0, 0, 'VARBINARY(8)', 'bytea'],
      ['BLOB', 8, 0, 0, 'BLOB(8)', 'bytea'],
      ['DATE', 4, 0, 0, 'DATE', 'date'],
      ['TIME', 3, 0, 0, 'TIME', 'time(0) without time zone'],
      ['TIMESTAMP', 10, 6, 0, 'TIMESTAMP(6)', 'timestamp(6) without time zone'],
      ['TIMESTAMP', 7, 0, 0, 'TIMESTAMP(0)', 'timestamp(0) without time zone'],
      ['TIMESTAMP', 13, 12, 0, 'TIMESTAMP(12)', 'text'],
      ['BOOLEAN', 1, 0, 0, 'BOOLEAN', 'boolean'],
      ['XML', 0, 0, 0, 'XML', 'xml'],
    ];
    for (const [typeName, length, scale, codePage, native, target] of rows) {
      expect(nativeTypeText(typeName, length, scale, codePage)).toBe(native);
      expect([native, pg(native)]).toEqual([native, target]);
    }
  });

  test('digits beyond microseconds: text by default, refused by policy, never cut; an unknown type is never guessed', () => {
    expect(pg('TIMESTAMP(7)', { timestamps: 'refuse' })).toBeNull();
    expect(columnOf({ name: 'T', nativeType: 'TIMESTAMP(12)', nullable: true }, 't')).toMatchObject({ pgType: 'text', order: 'time', note: expect.stringContaining('12') });
    expect(pg('MONEY_T')).toBeNull();
    expect(columnOf({ name: 'M', nativeType: 'MONEY_T', nullable: true }, 'm').note).toContain('cannot be read');
  });
});
