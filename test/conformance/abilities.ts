/** What a connector may have beyond reading a stream: slices, rows by key, hashes inside the source. One that lacks it says why, and is held to that. */
import { differingBuckets, rowsOf } from '../../schemas/comparison.ts';
import { readRows } from './copy-text.ts';
import { readOf, type Ground, type Subject, type Waivable } from './place.ts';
import { codeOf } from './runs.ts';

const COLUMNS = ['id', 'name', 'amount', 'at'];
const BUCKETS = 8;

export function abilities(subject: Subject, ground: () => Ground): void {
  /** `lacks` tells whether the session has the ability; a waiver that has become untrue fails. */
  const ability = (name: Waivable, lacks: () => boolean, title: string, work: () => Promise<void>): void => {
    const waiver = subject.waivers?.[name];
    test(waiver === undefined ? title : `${title}, waived: ${waiver}`, async () => {
      if (waiver === undefined) return work();
      expect(waiver).toMatch(/\S+ \S+ \S+/);
      expect(lacks()).toBe(true);
    });
  };

  const fill = async (table: string): Promise<void> => {
    const { place } = ground();
    for (const sql of place.create(table)) await place.run(sql);
    const times = ['09:00:00.000001', '09:00:00.000002', '09:00:00.000002', '09:59:59.999999', '10:00:00.000000', '23:59:59.999999'];
    for (const [index, time] of times.entries()) await place.run(`INSERT INTO ${table} (id, name, amount, at) VALUES (${(index + 1) * 3}, 'n${index}', ${index}.5, ${place.time(`2024-01-02 ${time}`)})`);
  };

  ability('slices', () => ground().session.readSlice === undefined, 'a slice has the rows from its lower bound on, up to the upper one', async () => {
    await fill('sliced');
    const { session } = ground();
    const slice = async (cursor: string, from: string, to: string): Promise<string> => {
      const read = await session.readSlice?.(await readOf(session, 'sliced', cursor, COLUMNS), { from, to }, 'copy-text');
      if (read === undefined) throw new Error('no slices');
      expect(Number.isNaN(Date.parse(read.asOf))).toBe(false);
      const { rows } = await readRows(read, COLUMNS.length);
      expect(read.rowsRead()).toBe(rows.length);
      return rows.map(([id]) => Number(id)).sort((a, b) => a - b).join();
    };
    expect(await slice('at', '2024-01-02 09:00:00.000002', '2024-01-02 10:00:00')).toBe('6,9,12');
    expect(await slice('at', '2024-01-02', '2024-01-03')).toBe('3,6,9,12,15,18');
    expect(await slice('at', '2024-01-03', '2024-01-04')).toBe('');
    // By number, not by text: 9 lies before 15.
    expect(await slice('id', '9', '15')).toBe('9,12');
    const stream = await readOf(session, 'sliced', 'at', COLUMNS);
    for (const from of ["2024-01-02'; DROP TABLE sliced; --", '2024-13-01', 'yesterday']) {
      expect([from, await codeOf(session.readSlice?.(stream, { from, to: '2024-01-03' }, 'copy-text') ?? Promise.resolve())]).toEqual([from, 'usage.invalid']);
    }
  });

  ability('rows by key', () => ground().session.readKeys === undefined, 'rows are read by their keys; one that is not there has no row', async () => {
    const { place, session } = ground();
    const sides = ['A', 'b c', 'é', '"', '\\', 'x,y'];
    await place.run('CREATE TABLE keyed (num INTEGER NOT NULL, side VARCHAR(10) NOT NULL, seen INTEGER NOT NULL, PRIMARY KEY (num, side))');
    for (const [index, side] of sides.entries()) await place.run(`INSERT INTO keyed VALUES (${index}, '${side === '\\' && subject.manifest.kind === 'mysql' ? '\\\\' : side}', ${index * 10})`);
    const stream = await readOf(session, 'keyed', null);
    const read = async (keys: readonly (readonly string[])[]) => {
      const rows = await session.readKeys?.(stream, keys, 'copy-text');
      if (rows === undefined) throw new Error('no rows by key');
      return (await readRows(rows, 3)).rows.map((row) => row.join('|')).sort();
    };
    expect(await read(sides.map((side, index) => [String(index), side]))).toEqual(sides.map((side, index) => `${index}|${side}|${index * 10}`).sort());
    expect(await read([['2', 'é'], ['2', 'E'], ['77', 'A'], ["0' OR '1'='1", 'A']].slice(0, 3))).toEqual(['2|é|20']);
    expect(await read([])).toEqual([]);
  });

  ability('comparison', () => ground().session.comparison === undefined, 'rows are hashed inside the source: a change shows in its bucket, with the key and no other value', async () => {
    await fill('hashed');
    const { place, session } = ground();
    const stream = await readOf(session, 'hashed', 'at', COLUMNS);
    const types = stream.columns.map((name) => stream.table.columns.find((column) => column.name === name)?.pgType ?? '');
    const comparison = session.comparison;
    const plan = await comparison?.plan(stream, types);
    if (comparison === undefined || plan === undefined || plan === null) throw new Error('nothing is hashed');
    expect(plan.columns.map(({ column }) => column)).toEqual(stream.columns);
    const look = async () => {
      const { buckets } = await comparison.digest(stream, plan, BUCKETS);
      const all = Array.from({ length: BUCKETS }, (_, bucket) => bucket);
      const { rows } = await readRows(await comparison.keys(stream, plan, BUCKETS, all), 3);
      return { buckets, keys: rows };
    };
    const [before, again] = [await look(), await look()];
    expect(rowsOf(before)).toBe(6);
    expect(differingBuckets(before.buckets, again.buckets)).toEqual([]);
    expect(before.keys.map(([id]) => Number(id)).sort((a, b) => a - b)).toEqual([3, 6, 9, 12, 15, 18]);
    for (const [id, ...hashes] of before.keys) for (const hash of hashes) expect([id, hash]).toEqual([id, expect.stringMatching(/^-?\d{1,20}$/)]);
    await place.run('UPDATE hashed SET amount = 4.5001 WHERE id = 15');
    const after = await look();
    const differing = differingBuckets(before.buckets, after.buckets);
    expect(differing.length).toBeGreaterThan(0);
    expect(differing.length).toBeLessThanOrEqual(2);
    const changed = after.keys.filter(([id, first]) => before.keys.find(([other]) => other === id)?.[1] !== first).map(([id]) => id);
    expect(changed).toEqual(['15']);
  });
}
