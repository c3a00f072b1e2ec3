/** Tables that are hard to name, to order or to hold. */
import { readRows } from './copy-text.ts';
import { openSession, readOf, type Ground, type Subject } from './place.ts';
import { codeOf, readWhole, run } from './runs.ts';

const WIDE = 1000;
const LARGE_CHARACTERS = 64 * 1024 * 1024;
const TARGET_NAME_BYTES_MAX = 63;

export function hardTables(subject: Subject, ground: () => Ground): void {
  test('names: reserved, mixed case, non-ASCII, the longest; each found, each with a target name of its own', async () => {
    const { place, session } = ground();
    const table = `Order ${place.names.at(-1)?.slice(0, 20) ?? ''} é`;
    const columns = place.names.map((name) => `${place.quote(name)} INTEGER NOT NULL`);
    await place.run(`CREATE TABLE ${place.quote(table)} (${columns.join(', ')}, PRIMARY KEY (${place.quote(place.names[0] ?? '')}))`);
    for (const row of [1, 2]) await place.run(`INSERT INTO ${place.quote(table)} VALUES (${place.names.map((_, index) => row * 1000 + index).join(', ')})`);
    const stream = await readOf(session, table, null);
    expect([stream.table.name, stream.columns, stream.key]).toEqual([table, place.names, [place.names[0]]]);
    const targets = stream.table.columns.map(({ targetName }) => targetName);
    expect(new Set(targets).size).toBe(place.names.length);
    for (const target of targets) expect(Buffer.byteLength(target)).toBeLessThanOrEqual(TARGET_NAME_BYTES_MAX);
    expect((await session.discover()).map(({ name }) => name)).toContain(table);
    expect(await readWhole(session, stream, 1)).toEqual([1, 2].map((row) => place.names.map((_, index) => String(row * 1000 + index))));
    const cursor = { ...stream, cursor: place.names[1] ?? null };
    expect((await run(session, cursor, null, 1)).batches.flat()).toEqual(['1000', '2000']);
  });

  test('several key columns: keyset order by value, not by text, and on from any position', async () => {
    const { place, session } = ground();
    await place.run(`CREATE TABLE pairs (num INTEGER NOT NULL, side VARCHAR(10) NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (num, side))`);
    const rows = [9, 10, 101, 1000].flatMap((no) => ['A', 'b', 'é'].map((side) => [no, side] as const));
    for (const [no, side] of rows) await place.run(`INSERT INTO pairs VALUES (${no}, '${side}', ${no < 101 ? 7 : 70})`);
    const stream = await readOf(session, 'pairs', 'seen', ['num', 'side', 'seen']);
    expect(stream.key.map((name) => name.toLowerCase())).toEqual(['num', 'side']);
    for (const rowsMax of [1, 2, 5]) {
      const { batches, positions } = await run(session, stream, null, rowsMax);
      expect([batches.flat().length, batches.flat()]).toEqual([rows.length, rows.map(([no]) => String(no))]);
      for (const [index, position] of positions.slice(0, -1).entries()) {
        expect((await run(session, stream, position, rowsMax)).batches).toEqual(batches.slice(index + 1));
      }
    }
    expect((await readWhole(session, stream, 2)).map((row) => row.slice(0, 2).join()).sort()).toEqual(rows.map(([no, side]) => `${no},${side}`).sort());
  });

  test('a number as cursor is ordered as a number', async () => {
    const { place, session } = ground();
    await place.run('CREATE TABLE numbers (id INTEGER NOT NULL PRIMARY KEY, num DECIMAL(20,2) NOT NULL)');
    for (const [id, no] of [[1, '101'], [2, '9.5'], [3, '-3'], [4, '10'], [5, '9007199254740993.01']] as const) await place.run(`INSERT INTO numbers VALUES (${id}, ${no})`);
    const stream = await readOf(session, 'numbers', 'num');
    const { batches, position } = await run(session, stream, null, 1);
    expect(batches.flat()).toEqual(['3', '2', '4', '1', '5']);
    await place.run('INSERT INTO numbers VALUES (6, 9007199254740993.02)');
    expect((await run(session, stream, position, 1)).batches.flat()).toContain('6');
  });

  test('no row is lost whose cursor is NULL, is filled or cleared', async () => {
    const { place, session } = ground();
    await place.run(`CREATE TABLE nulls (id INTEGER NOT NULL PRIMARY KEY, seen ${place.timeType})`);
    for (const [id, seen] of [[1, 'NULL'], [2, place.time('2024-01-02 09:00:00.000001')], [3, 'NULL']] as const) await place.run(`INSERT INTO nulls VALUES (${id}, ${seen})`);
    const stream = await readOf(session, 'nulls', 'seen');
    const first = await run(session, stream, null, 1);
    expect(first.batches.flat().sort()).toEqual(['1', '2', '3']);
    await place.run(`UPDATE nulls SET seen = ${place.time('2024-01-02 09:00:00.000002')} WHERE id = 1`);
    await place.run('UPDATE nulls SET seen = NULL WHERE id = 2');
    await place.run('INSERT INTO nulls VALUES (4, NULL)');
    expect(await session.poll(stream, first.position)).toBe(true);
    // Row 3 has not changed: a connector that can tell may leave it out.
    expect((await run(session, stream, first.position, 1)).batches.flat()).toEqual(expect.arrayContaining(['1', '2', '4']));
  });

  test(`${WIDE} columns`, async () => {
    const { place, session } = ground();
    const names = Array.from({ length: WIDE - 1 }, (_, index) => `c${index}`);
    await place.run(`CREATE TABLE wide (id INTEGER NOT NULL PRIMARY KEY, ${names.map((name) => `${name} SMALLINT`).join(', ')})`);
    await place.run(`INSERT INTO wide VALUES (1, ${names.map((_, index) => index).join(', ')})`);
    const stream = await readOf(session, 'wide', null);
    expect(stream.columns).toHaveLength(WIDE);
    expect(await readWhole(session, stream, 100)).toEqual([['1', ...names.map((_, index) => String(index))]]);
  });

  const waiver = subject.waivers?.['large value'];
  test(waiver === undefined ? 'a value of 64 MB arrives whole' : `a value of 64 MB, waived: ${waiver}`, async () => {
    if (waiver !== undefined) return void expect(waiver).toMatch(/\S+ \S+ \S+/);
    const { place, session } = ground();
    for (const sql of place.large('large')) await place.run(sql);
    const stream = await readOf(session, 'large', null);
    const [part] = (await session.planFull(stream, { rowsMax: 10 })).parts;
    if (part === undefined) throw new Error('no part');
    const read = await session.readPart(stream, part, 'copy-text', 'mark');
    let characters = 0;
    let others = '';
    for await (const chunk of read.stream as AsyncIterable<Buffer>) {
      const rest = chunk.toString('latin1').replaceAll('x', '');
      characters += chunk.length - rest.length;
      others += rest;
    }
    expect([characters, others.replace('\t\\N\t\\N', ''), read.rowsRead()]).toEqual([LARGE_CHARACTERS, '1\t\n', 1]);
  });

  test('an empty table: no rows whole, no news, and its first row is read', async () => {
    const { place, session } = ground();
    await place.run('CREATE TABLE hollow (id INTEGER NOT NULL PRIMARY KEY, num INTEGER NOT NULL)');
    const stream = await readOf(session, 'hollow', 'num');
    expect(await readWhole(session, stream, 10)).toEqual([]);
    const { batches, position } = await run(session, stream, null, 10);
    expect(batches.flat()).toEqual([]);
    await place.run('INSERT INTO hollow VALUES (1, -5)');
    expect(await session.poll(stream, position)).toBe(true);
    expect((await run(session, stream, position, 10)).batches.flat()).toEqual(['1']);
  });

  test('a view has columns, and is read whole', async () => {
    const { place, session } = ground();
    for (const sql of [...place.create('seen_through'), `CREATE VIEW glass AS SELECT id, name FROM seen_through`]) await place.run(sql);
    await place.run(`INSERT INTO seen_through (id, name, amount, at) VALUES (1, 'n', 1, ${place.time('2024-01-02 09:00:00.000000')})`);
    const stream = await readOf(session, 'glass', null);
    expect([stream.table.kind, stream.key, stream.table.columns.map(({ targetName }) => targetName)]).toEqual(['view', [], ['id', 'name']]);
    const { rows } = await readRows(await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text'), 2);
    expect(rows).toEqual([['1', 'n']]);
  });

  const stranger = subject.waivers?.privilege;
  test(stranger === undefined ? 'a table that the user may not read is told from one that is not there' : `privileges missing, waived: ${stranger}`, async () => {
    if (stranger !== undefined) return void expect(stranger).toMatch(/\S+ \S+ \S+/);
    const { place, manifest } = ground();
    for (const sql of place.create('closed')) await place.run(sql);
    const connection = await place.stranger('closed');
    const session = await openSession(manifest, connection);
    const code = await codeOf(session.describe('closed', {}).then((shape) => session.readPart({ table: shape, columns: shape.columns.map(({ name }) => name), key: [], cursor: null, overlapSeconds: 0, futureLimitSeconds: 0, fetchRows: 10, types: {} }, { from: null, to: null, rowEstimate: -1 }, 'copy-text').then((read) => readRows(read, shape.columns.length))));
    // Where the server hides what may not be read, the two look alike.
    expect(['source.privilege_missing', 'source.table_missing']).toContain(code);
  });
}
