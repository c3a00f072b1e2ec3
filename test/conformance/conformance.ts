/**
 * What every connector promises (connectors/connector.ts), tested the same way for each of them on a real server.
 * A connector's own file here says only how to get such a server and how its SQL spells a table.
 */
import type { SourceSession } from '../../connectors/connector.ts';
import { describeWith } from '../support/describe-with.ts';
import { freePort } from '../support/processes.ts';
import { abilities } from './abilities.ts';
import { badConnections } from './bad-connections.ts';
import { readRows } from './copy-text.ts';
import { hardTables } from './hard-tables.ts';
import { openSession, readOf, type Place, type Subject } from './place.ts';
import { codeOf, run } from './runs.ts';

const HARD_TEXT = 'tab\tnew\nline back\\slash "q" Zürich 日本';
const ROWS = 10;
const streamOf = (session: SourceSession, table: string, cursor: string | null) => readOf(session, table, cursor, ['id', 'name', 'amount', 'at']);

const insert = (place: Place, table: string, id: number, name: string, time: string) =>
  place.run(`INSERT INTO ${table} (id, name, amount, at) VALUES (${id}, ${name}, 123456789012345.6789, ${place.time(time)})`);

export function conformance(subject: Subject): void {
  const { manifest } = subject;
  describeWith(subject.needs, `conformance of ${manifest.kind}`, () => {
    let place: Place;
    let session: SourceSession;

    beforeAll(async () => {
      place = await subject.prepare();
      for (const sql of [...place.create('conform'), ...place.create('grows'), ...place.create('empty_one'), ...place.createKeyless('keyless')]) await place.run(sql);
      for (const table of ['conform', 'grows']) for (let id = 1; id <= ROWS; id += 1) await insert(place, table, id, `'n${id}'`, `2024-01-02 09:00:00.00000${Math.floor(id / 4)}`);
      for (const id of [1, 1, 2]) await insert(place, 'keyless', id, 'NULL', '2024-01-02 09:00:00.000000');
      session = await openSession(manifest, place.connection);
    });

    test('says which server it is', async () => {
      const facts = await session.server();
      for (const name of ['product', 'version', 'database', 'user', 'timezone', 'identity'] as const) expect(facts[name]).toMatch(/\S/);
    });

    test('finds tables with keys, types and cursors', async () => {
      const shape = await session.describe('conform', {});
      expect(shape.key.map((name) => name.toLowerCase())).toEqual(['id']);
      expect(shape.columns.map(({ targetName }) => targetName)).toEqual(['id', 'name', 'amount', 'at']);
      expect(shape.columns[2]?.pgType).toBe('numeric(20,4)');
      expect(shape.columns.map(({ order }) => order)).toEqual(['number', 'text', 'number', 'time']);
      const found = await session.discover();
      expect(found.map(({ name }) => name.toLowerCase())).toEqual(expect.arrayContaining(['conform', 'grows', 'keyless', 'empty_one']));
    });

    test('reads a run in batches: every row, none twice in a batch, exact values', async () => {
      const stream = await streamOf(session, 'conform', 'at');
      for (const rowsMax of [1, 3, 100]) {
        const { batches } = await run(session, stream, null, rowsMax);
        expect([...new Set(batches.flat())].sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: ROWS }, (_, index) => String(index + 1)));
        for (const batch of batches) expect(new Set(batch).size).toBe(batch.length);
      }
      const { rows } = await readRows(await session.readFrom(stream, null, { rowsMax: 1 }, 'copy-text'), 4);
      expect(rows[0]).toEqual(['1', 'n1', '123456789012345.6789', expect.stringMatching(/^2024-01-02 09:00:00(\.0{1,6})?(\+00)?$/)]);
    });

    test('goes on from a position: what is new, and the same again from the same position', async () => {
      const stream = await streamOf(session, 'grows', 'at');
      const first = await run(session, stream, null, 4);
      expect(first.last.futureRows).toBe(0);
      await insert(place, 'grows', 11, `'same time'`, '2024-01-02 09:00:00.000002');
      await insert(place, 'grows', 12, 'NULL', '2024-01-02 10:00:00.654321');
      expect(await session.poll(stream, first.position)).toBe(true);
      const second = await run(session, stream, first.position, 4);
      expect(second.batches.flat()).toEqual(expect.arrayContaining(['11', '12']));
      expect((await run(session, stream, first.position, 4)).batches).toEqual(second.batches);
      expect(second.position.display).toContain('10:00:00.654321');
    });

    test('text with every separator of COPY arrives as it is', async () => {
      const literal = HARD_TEXT.replaceAll('\\', manifest.kind === 'mysql' ? '\\\\' : '\\');
      await insert(place, 'keyless', 77, `'${literal}'`, '2024-01-02 09:00:00.000000');
      const stream = await streamOf(session, 'keyless', null);
      const plan = await session.planFull(stream, { rowsMax: 2 });
      expect(plan.parts).toHaveLength(1);
      const [part] = plan.parts;
      if (part === undefined) throw new Error('no part');
      const { rows, refused } = await readRows(await session.readPart(stream, part, 'copy-text'), 4);
      expect(refused).toEqual([]);
      expect(rows.filter(([id]) => id === '77').map(([, name]) => name)).toEqual([HARD_TEXT]);
      expect(rows.map(([id, name]) => [id, name]).filter(([id]) => id !== '77').sort()).toEqual([['1', null], ['1', null], ['2', null]]);
    });

    test('cuts a table into parts that are the whole, each row once', async () => {
      const stream = await streamOf(session, 'conform', 'at');
      const plan = await session.planFull(stream, { rowsMax: 3 });
      const ids: string[] = [];
      for (const part of JSON.parse(JSON.stringify(plan.parts)) as typeof plan.parts) {
        const { rows } = await readRows(await session.readPart(stream, part, 'copy-text'), 4);
        ids.push(...rows.map((row) => row[0] ?? ''));
      }
      expect(ids.map(Number).sort((a, b) => a - b)).toEqual(Array.from({ length: ROWS }, (_, index) => index + 1));
      await insert(place, 'conform', 99, `'after the plan'`, '2024-01-03 00:00:00.000000');
      expect((await run(session, stream, plan.position, 100)).batches.flat()).toContain('99');
      await place.run('DELETE FROM conform WHERE id = 99');
    });

    test('an empty table has a position, and its first row is read from it', async () => {
      const stream = await streamOf(session, 'empty_one', 'at');
      const { batches, position } = await run(session, stream, null, 10);
      expect(batches.flat()).toEqual([]);
      await insert(place, 'empty_one', 1, `'first'`, '2024-01-02 09:00:00.000000');
      expect((await run(session, stream, position, 10)).batches.flat()).toEqual(['1']);
    });

    test('a position of another server or table is history_lost', async () => {
      const stream = await streamOf(session, 'conform', 'at');
      const { position } = await run(session, stream, null, 100);
      for (const other of [{ ...position, server: 'another' }, { ...position, table: 'another' }]) {
        expect(await codeOf(session.readFrom(stream, other, { rowsMax: 10 }, 'copy-text'))).toBe('source.history_lost');
      }
    });

    test('what is not there has its own code', async () => {
      expect(await codeOf(session.describe('no_such_table', {}))).toBe('source.table_missing');
      const { connection } = place;
      expect(await codeOf(openSession(manifest, { ...connection, port: await freePort() }))).toBe('source.unreachable');
      expect(await codeOf(openSession(manifest, { ...connection, host: 'no-such-host.invalid' }))).toBe('source.host_unknown');
    });

    test('a reader that goes away in the middle leaves a session that closes', async () => {
      const other = await openSession(manifest, place.connection);
      const stream = await streamOf(other, 'conform', 'at');
      const read = await other.readFrom(stream, null, { rowsMax: 100 }, 'copy-text');
      read.stream.on('error', () => undefined);
      read.stream.destroy();
      await other.close();
      await other.close();
    });

    test('aborting fails the pending call and closes', async () => {
      const controller = new AbortController();
      const other = await openSession(manifest, place.connection, controller.signal);
      controller.abort();
      expect(await codeOf(other.describe('conform', {}))).not.toBe('none');
      await other.close();
    });

    const ground = () => ({ manifest, place, session });
    hardTables(subject, ground);
    abilities(subject, ground);
    badConnections(ground);
  });
}
