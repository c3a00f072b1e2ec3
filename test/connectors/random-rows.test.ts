/**
 * Random rows of random types through each connector into PostgreSQL, where psql prints what the source's own client prints.
 * TIDEMARK_PROPERTY_RUNS sets how many tables each connector gets; fast-check prints the seed of a failure, TIDEMARK_PROPERTY_SEED repeats it.
 */
import { pipeline } from 'node:stream/promises';
import fc from 'fast-check';
import pgCopyStreams from 'pg-copy-streams';
import type { ConnectorManifest } from '../../connectors/connector.ts';
import { manifest as db2 } from '../../connectors/db2/manifest.ts';
import { manifest as mysql } from '../../connectors/mysql/manifest.ts';
import { manifest as postgres } from '../../connectors/postgres/manifest.ts';
import { openSession, readOf } from '../conformance/place.ts';
import { createDerby } from '../support/derby.ts';
import { describeWith } from '../support/describe-with.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { DERBY_RARE, MARIADB_RARE, POSTGRES_RARE } from '../support/rare-columns.ts';
import * as usual from '../support/typed-columns.ts';
import { byIj, byMariadb, byPsql, createSql, insertSql, POSTGRES_TYPES, sameNumbers, sourceList, targetList } from '../support/typed-columns.ts';
import type { TypedColumn } from '../support/typed-columns.ts';

const RUNS = Number(process.env['TIDEMARK_PROPERTY_RUNS'] ?? '6');
const SEED = Number(process.env['TIDEMARK_PROPERTY_SEED'] ?? Date.now() % 2 ** 31);

const POSTGRES = [...usual.POSTGRES, ...POSTGRES_RARE];
const MARIADB = [...usual.MARIADB, ...MARIADB_RARE];
const DERBY = [...usual.DERBY, ...DERBY_RARE];

type Row = readonly string[];

interface Source {
  readonly connection: Readonly<Record<string, unknown>>;
  run(statements: readonly string[]): Promise<void>;
  /** What its own client prints, ordered by id. */
  print(table: string, columns: readonly TypedColumn[]): Promise<readonly Row[]>;
}

interface RandomTable {
  readonly columns: readonly TypedColumn[];
  readonly rows: readonly Row[];
}

const nullable = (column: TypedColumn): fc.Arbitrary<string> => (column.type.includes('GENERATED') ? column.random : fc.option(column.random, { nil: 'NULL', freq: 8 }));

const tableOf = (all: readonly TypedColumn[]): fc.Arbitrary<RandomTable> =>
  fc.shuffledSubarray([...all], { minLength: 1, maxLength: 6 }).chain((columns) =>
    fc.array(fc.tuple(...columns.map(nullable)), { minLength: 1, maxLength: 12 }).map((rows) => ({ columns, rows })),
  );

/** Reads the whole table through the connector into a table of the types it says. */
async function carry(manifest: ConnectorManifest, source: Source, table: string, target: PostgresDatabase): Promise<void> {
  const session = await openSession(manifest, source.connection);
  const stream = await readOf(session, table, null);
  await target.query(`CREATE TABLE ${table} (${stream.table.columns.map(({ targetName, pgType }) => `"${targetName}" ${pgType}`).join(', ')}, rejects jsonb, shown jsonb)`);
  const read = await session.readPart(stream, { from: null, to: null, rowEstimate: -1 }, 'copy-text');
  const names = stream.table.columns.map(({ targetName }) => `"${targetName}"`).concat(read.marksRejects ? ['rejects', 'shown'] : []);
  const client = await target.client();
  await pipeline(read.stream, client.query(pgCopyStreams.from(`COPY ${table} (${names.join(', ')}) FROM STDIN`)));
  await client.end();
  await session.close();
  expect(await target.value(`SELECT count(*) FROM ${table} WHERE rejects IS NOT NULL`)).toBe('0');
}

function property(manifest: ConnectorManifest, all: readonly TypedColumn[], open: () => Promise<Source>): void {
  test(`what ${manifest.title} holds arrives`, async () => {
    const [source, target] = [await open(), await createDatabase('random')];
    let tables = 0;
    await fc.assert(
      fc.asyncProperty(tableOf(all), async ({ columns, rows }) => {
        tables += 1;
        const table = `r${tables}`;
        await source.run([createSql(table, columns), ...insertSql(table, rows)]);
        await carry(manifest, source, table, target);
        const before = await source.print(table, columns);
        expect(before).toHaveLength(rows.length);
        const after = byPsql(target, `SELECT ${targetList(columns).join(', ')} FROM ${table} ORDER BY id`);
        expect(sameNumbers(columns, after)).toEqual(sameNumbers(columns, before));
      }),
      { numRuns: RUNS, seed: SEED, endOnFailure: true },
    );
  });
}

describeWith({ postgres: true }, `random rows of PostgreSQL, seed ${SEED}`, () => {
  property(postgres, POSTGRES, async () => {
    const database = await createDatabase('random');
    await database.query(POSTGRES_TYPES);
    const { host, port, user, password } = database.server;
    const list = (columns: readonly TypedColumn[]) => sourceList(columns).join(', ');
    return {
      connection: { host, port, user, password, database: database.name },
      run: async (statements) => void byPsql(database, statements.join(';\n')),
      print: async (table, columns) => byPsql(database, `SELECT ${list(columns)} FROM ${table} ORDER BY id`),
    };
  });
});

describeWith({ postgres: true, mariadb: true }, `random rows of MariaDB, seed ${SEED}`, () => {
  property(mysql, MARIADB, async () => {
    const database = await createMariadb('random');
    const { host, port, user, password } = database.server;
    return {
      connection: { host, port, user, password, database: database.name },
      run: async (statements) => void byMariadb(database, statements.join(';\n')),
      print: async (table, columns) => byMariadb(database, `SELECT ${sourceList(columns).join(', ')} FROM ${table} ORDER BY id`),
    };
  });
});

describeWith({ postgres: true, db2: true }, `random rows of Derby, seed ${SEED}`, () => {
  property(db2, DERBY, async () => {
    const database = await createDerby('random');
    return {
      connection: database.connection,
      run: async (statements) => {
        for (const sql of statements) await database.run(sql);
      },
      print: (table, columns) => byIj(database, table, sourceList(columns)),
    };
  });
});
