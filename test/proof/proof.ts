/** What the proofs share: a configuration over datasets, comparison of all their tables, and the sums of the ledger. */
import { compareTables } from '../support/compare.ts';
import type { SourceDatabase } from '../support/compare.ts';
import { streamsYaml } from '../support/datasets.ts';
import type { Dataset } from '../support/datasets.ts';
import type { PostgresDatabase } from '../support/postgres.ts';

export interface ProofSource {
  readonly id: string;
  readonly kind: 'postgres' | 'mariadb';
  readonly database: SourceDatabase;
  readonly datasets: readonly Dataset[];
}

export function proofConfiguration(sources: readonly ProofSource[], defaults = ''): string {
  const blocks = sources.map(({ id, kind, database, datasets }) => `  - id: ${id}\n    kind: ${kind}\n    connection: ${database.connection}\n    streams:\n${streamsYaml(datasets, '      ')}`);
  return `destination:\n  url: \${DESTINATION_URL}\ndefaults:\n  poll_interval: 365d\n${defaults}sources:\n${blocks.join('\n')}\n`;
}

/** Differences of all tables in words, empty where every target equals its source. */
export async function allDifferences(sources: readonly ProofSource[], target: PostgresDatabase): Promise<string[]> {
  const found: string[] = [];
  for (const { id, database, datasets } of sources) {
    for (const { table, key } of datasets) {
      const { differences, sourceRows } = await compareTables(database, table, target, `${id}.${table}`, [key]);
      if (sourceRows === 0) found.push(`${id}.${table} is empty`);
      found.push(...differences.map((difference) => `${id}.${table}: ${difference}`));
    }
  }
  return found;
}

export interface LedgerSums {
  readonly read: number;
  readonly written: number;
  readonly unchanged: number;
  readonly rejected: number;
  readonly superseded: number;
  readonly deleted: number;
}

const COUNTS = ['read', 'written', 'unchanged', 'rejected', 'superseded', 'deleted'] as const;

/** Sums over all batches that the ledger has for one stream, from its table. */
export async function ledgerSums(target: PostgresDatabase, source: string, stream: string): Promise<LedgerSums> {
  const sums = COUNTS.map((name) => `coalesce(sum(${name}), 0)::bigint AS ${name}`).join(', ');
  const [row] = await target.query(`SELECT ${sums} FROM tidemark.ledger WHERE source = $1 AND stream = $2`, [source, stream]);
  return Object.fromEntries(COUNTS.map((name) => [name, Number(row?.[name])])) as unknown as LedgerSums;
}
