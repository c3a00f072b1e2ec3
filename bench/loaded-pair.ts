/** Where the incremental cases begin: a source table of the case's own, loaded into two databases, by a bare pipe and by Tidemark. */
import { freeMemory } from './freed-memory.ts';
import { COLUMN_NAMES, contentOf, createTable, KEY, makeLineitem } from './lineitem.ts';
import { dropDatabase, newDatabase, type Bench } from './servers.ts';
import { pipe } from './shell.ts';
import { sourceFile } from './source-file.ts';
import { TidemarkUnderTest } from './tidemark-under-test.ts';
import type { PostgresDatabase } from '../test/support/postgres.ts';

/** Of each row of the table: more than the file cache takes for what one round changes of it. */
const CHANGED_BYTES_EACH_ROW = 180;

export interface PairOptions {
  readonly mode: 'upsert' | 'append';
  readonly pollInterval?: string;
}

export class LoadedPair {
  readonly source: PostgresDatabase;
  /** What the bare statements write. */
  readonly bare: PostgresDatabase;
  readonly target: PostgresDatabase;
  readonly tidemark: TidemarkUnderTest;
  readonly #rows: number;

  private constructor(source: PostgresDatabase, bare: PostgresDatabase, target: PostgresDatabase, tidemark: TidemarkUnderTest, rows: number) {
    this.source = source;
    this.bare = bare;
    this.target = target;
    this.tidemark = tidemark;
    this.#rows = rows;
  }

  static async make(bench: Bench, rows: number, { mode, pollInterval }: PairOptions): Promise<LoadedPair> {
    const source = await makeLineitem(bench, rows);
    const destination = await bench.destination();
    const bare = await newDatabase(destination, 'bare');
    await bare.query(createTable('lineitem'));
    const target = await newDatabase(destination, 'target');
    const file = sourceFile({ kind: 'postgres', connection: source.connection, stream: `{ table: public.lineitem, target: public.lineitem, cursor: updated_at, mode: ${mode} }`, pollInterval });
    const tidemark = await TidemarkUnderTest.start(file, { ...source.secrets, DESTINATION_URL: target.url });
    const pair = new LoadedPair(source, bare, target, tidemark, rows);
    await pair.pipeRows('', `COPY lineitem (${COLUMN_NAMES}) FROM STDIN (FORMAT binary)`);
    await bare.query(`ALTER TABLE lineitem ADD PRIMARY KEY (${KEY})`);
    await tidemark.measure('sync', '--all');
    for (const database of [bare, target]) await database.query('VACUUM ANALYZE lineitem');
    return pair;
  }

  /** Source's clock as text, in microseconds. */
  async now(): Promise<string> {
    return (await this.source.value('SELECT clock_timestamp()')) ?? '';
  }

  /** Sends what `where` chooses to one psql with these statements; returns the seconds. */
  pipeRows(where: string, ...statements: readonly string[]): Promise<number> {
    const variables = Object.fromEntries(statements.map((statement, index) => [`STATEMENT_${index}`, statement]));
    const commands = statements.map((_, index) => `-c "$STATEMENT_${index}"`).join(' ');
    return pipe(`psql -Xq "$FROM" -c "$READ" | psql -Xq -v ON_ERROR_STOP=1 "$INTO" ${commands}`, {
      ...variables,
      FROM: this.source.url,
      INTO: this.bare.url,
      READ: `COPY (SELECT ${COLUMN_NAMES} FROM lineitem ${where}) TO STDOUT (FORMAT binary)`,
    });
  }

  /** What was changed since `since`, staged and upserted by bare SQL; seconds. */
  bareUpsert(since: string): Promise<number> {
    const columns = COLUMN_NAMES.split(', ');
    const rest = columns.filter((column) => !KEY.split(', ').includes(column));
    return this.pipeRows(
      `WHERE updated_at >= '${since}'`,
      'CREATE TEMP TABLE stage (LIKE lineitem)',
      `COPY stage (${COLUMN_NAMES}) FROM STDIN (FORMAT binary)`,
      `INSERT INTO lineitem AS t (${COLUMN_NAMES}) SELECT ${COLUMN_NAMES} FROM stage ON CONFLICT (${KEY}) DO UPDATE SET ${rest.map((column) => `${column} = excluded.${column}`).join(', ')}
       WHERE (${rest.map((column) => `t.${column}`).join(', ')}) IS DISTINCT FROM (${rest.map((column) => `excluded.${column}`).join(', ')})`,
    );
  }

  /** Writes out what is dirty on both servers, so that no checkpoint of one side's work falls into the other's time, and gives both the same memory. */
  async settle(): Promise<void> {
    await this.source.query('CHECKPOINT');
    await this.target.query('CHECKPOINT');
    await freeMemory(this.#rows * CHANGED_BYTES_EACH_ROW);
  }

  async close(): Promise<void> {
    await this.tidemark.stop();
    for (const database of [this.source, this.bare, this.target]) await dropDatabase(database);
  }

  /** Throws where a database of `these` differs from the source. */
  async verify(...these: readonly PostgresDatabase[]): Promise<void> {
    const expected = await contentOf(this.source, 'lineitem');
    for (const database of these) {
      const content = await contentOf(database, 'lineitem');
      if (content !== expected) throw new Error(`${database === this.bare ? 'the bare table' : 'the target'} has ${content}, the source has ${expected}`);
    }
  }
}
