/** Compares source and target row by row with SQL of its own; nothing of Tidemark's code takes part. */
import pg from 'pg';
import pgCopyStreams from 'pg-copy-streams';
import type { DemoTable } from './bank.ts';

export interface Comparison {
  readonly table: string;
  readonly sourceRows: number;
  readonly targetRows: number;
  /** Rows of one side without an equal row of the same key on the other. */
  readonly differing: number;
}

interface Row {
  readonly key: bigint;
  readonly text: string;
}

/** The table's rows by key, as the text of COPY, key first. */
async function* rowsOf(client: pg.Client, relation: string, columns: readonly string[]): AsyncGenerator<Row, null> {
  const list = columns.map((column) => client.escapeIdentifier(column)).join(', ');
  const stream = client.query(pgCopyStreams.to(`copy (select ${list} from ${relation} order by 1) to stdout`));
  for await (const text of linesOf(stream)) yield { key: BigInt(text.split('\t', 1)[0] ?? ''), text };
  return null;
}

/** COPY ends a row with a line feed and escapes those within; other line separators of Unicode are data. */
async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
}

async function columnsOf(source: pg.Client, table: DemoTable): Promise<string[]> {
  const { rows } = await source.query<{ column_name: string }>(
    "select column_name from information_schema.columns where table_schema = 'bank' and table_name = $1 order by column_name <> $2, ordinal_position",
    [table.name, table.key],
  );
  return rows.map((row) => row.column_name);
}

async function compareTable(source: pg.Client, target: pg.Client, table: DemoTable): Promise<Comparison> {
  const columns = await columnsOf(source, table);
  const left = rowsOf(source, `bank.${table.name}`, columns);
  const right = rowsOf(target, `demo.${table.name}`, columns);
  let [sourceRows, targetRows, differing] = [0, 0, 0];
  let [a, b] = [(await left.next()).value, (await right.next()).value];
  while (a !== null || b !== null) {
    const side = a === null ? 1 : b === null ? -1 : a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
    if (side !== 0 || a?.text !== b?.text) differing += 1;
    if (side <= 0) {
      sourceRows += 1;
      a = (await left.next()).value;
    }
    if (side >= 0) {
      targetRows += 1;
      b = (await right.next()).value;
    }
  }
  return { table: table.name, sourceRows, targetRows, differing };
}

/** One result for each table. Throws where a table of the target is missing. */
export async function compareTables(sourceUrl: string, targetUrl: string, tables: readonly DemoTable[]): Promise<Comparison[]> {
  const options = '-c timezone=UTC -c datestyle=ISO';
  const source = new pg.Client({ connectionString: sourceUrl, options });
  const target = new pg.Client({ connectionString: targetUrl, options });
  try {
    await Promise.all([source.connect(), target.connect()]);
    const results: Comparison[] = [];
    for (const table of tables) results.push(await compareTable(source, target, table));
    return results;
  } finally {
    await Promise.allSettled([source.end(), target.end()]);
  }
}
