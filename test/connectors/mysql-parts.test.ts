/** How a large table is cut for a full build: pairs of equal parts, since two are copied at a time. */
import type { StreamRead } from '../../connectors/connector.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb, type MariadbDatabase } from '../support/mariadb.ts';
import { openSession } from './mysql-engine.ts';

const ROWS = 600_000;

describeWith({ mariadb: true }, 'parts of a MySQL table', () => {
  let database: MariadbDatabase;
  let stream: StreamRead;

  const sizes = async (rowsMax: number, read = stream): Promise<number[]> => {
    const session = await openSession(database);
    const { parts } = await session.planFull(read, { rowsMax });
    const rows: number[] = [];
    for (const part of parts) {
      const taken = await session.readPart(read, part, 'copy-text');
      for await (const chunk of taken.stream) void chunk;
      rows.push(taken.rowsRead());
    }
    await session.close();
    return rows;
  };

  beforeAll(async () => {
    database = await createMariadb('parts');
    await database.query(`CREATE TABLE wide (a int NOT NULL, b varchar(10) NOT NULL, changed datetime NOT NULL, PRIMARY KEY (a, b), KEY (changed)); INSERT INTO wide SELECT seq DIV 3, seq, '2024-01-01' FROM seq_1_to_${ROWS}; ANALYZE TABLE wide`);
    const session = await openSession(database);
    const table = await session.describe('wide');
    await session.close();
    stream = { table, columns: ['a', 'b'], key: table.key, cursor: 'changed', overlapSeconds: 60, futureLimitSeconds: 86_400, fetchRows: 100, types: {} };
  });

  test.each([
    [250_000, 4],
    [570_000, 2],
    [2_000_000, 2],
  ])('with at most %i rows each there are %i equal parts', async (rowsMax, count) => {
    const rows = await sizes(rowsMax);
    expect([rows.length, rows.reduce((sum, each) => sum + each, 0)]).toEqual([count, ROWS]);
    expect(new Set(rows.slice(0, -1)).size).toBe(1);
    // The server estimates how many rows there are.
    expect(Math.abs((rows.at(-1) ?? 0) / (rows[0] ?? 1) - 1)).toBeLessThan(0.3);
  });

  test('a table that is copied in a second or two has one part', async () => {
    expect(await sizes(2_000_000, { ...stream, table: { ...stream.table, rowEstimate: 390_000 } })).toEqual([ROWS]);
  });

  test('a table whose size is not known is cut by its rows', async () => {
    expect(await sizes(570_000, { ...stream, table: { ...stream.table, rowEstimate: -1 } })).toEqual([570_000, 30_000]);
  });
});
