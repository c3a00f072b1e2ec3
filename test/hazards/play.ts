/** Plays hazard cases against Tidemark's command line: all tables of a group in one source, one sync for each step of all of them. */
import { compareTables } from '../support/compare.ts';
import type { Comparison } from '../support/compare.ts';
import { createMariadb } from '../support/mariadb.ts';
import type { MariadbDatabase } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { waitFor } from '../support/processes.ts';
import { Tidemark } from '../support/tidemark.ts';
import type { CommandResult, StreamResult } from '../support/tidemark.ts';
import { createTable } from './hazard-case.ts';
import type { HazardCase, OpenTransaction, Product, Source } from './hazard-case.ts';

const QUIET_SYNCS = 2;
/** A sync of all tables of a group may take its time until one of them has a batch. */
const FIRST_BATCH_MS = 180_000;

/**
 * While somebody holds the lock, a table's first batch commits and the next one waits just before it would: what then happens at the source happens in
 * the middle of the run, however fast that is.
 */
const GATE = 4711;
const GATE_SQL = `CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF EXISTS (SELECT FROM tidemark.ledger l WHERE l.run_id = NEW.run_id AND l.stream = NEW.stream) THEN PERFORM pg_advisory_xact_lock_shared(${GATE}); END IF;
  RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON tidemark.ledger FOR EACH ROW EXECUTE FUNCTION gate()`;

export interface Outcome extends Comparison {
  /** The stream's result of each sync, in order. */
  readonly syncs: readonly StreamResult[];
  /** Whether the case's change at the source fell between two batches of one run. */
  readonly changedMidRun: boolean;
}

type SourceDatabase = PostgresDatabase | MariadbDatabase;

function sourceOf(database: SourceDatabase, product: Product): Source {
  const begin = async (): Promise<OpenTransaction> => {
    const client = await database.client();
    const query = client.query.bind(client) as (sql: string) => Promise<unknown>;
    const run = async (sql: string) => void (await query(sql));
    const end = async (how: string) => {
      await run(how);
      await client.end();
    };
    await run('BEGIN');
    return { run, commit: () => end('COMMIT'), rollback: () => end('ROLLBACK') };
  };
  return { product, run: async (sql) => void (await database.query(sql)), begin };
}

function configuration(database: SourceDatabase, product: Product, cases: readonly HazardCase[]): string {
  const streams = cases.map((hazard) => `      - { table: ${hazard.id.toLowerCase()}, cursor: ${hazard.cursor}, key: [${hazard.key.join(', ')}], batch_rows: ${hazard.batchRows ?? 4} }`);
  return `
destination:
  url: \${DESTINATION_URL}
defaults:
  poll_interval: 365d
  overlap: 0s
sources:
  - id: play
    kind: ${product}
    connection: ${database.connection}
    streams:
${streams.join('\n')}
`;
}

export class Play {
  readonly #cases: readonly HazardCase[];
  readonly #source: Source;
  readonly #database: SourceDatabase;
  readonly #target: PostgresDatabase;
  readonly #tidemark: Tidemark;
  readonly #syncs: CommandResult[] = [];
  readonly #changedMidRun = new Set<string>();

  private constructor(cases: readonly HazardCase[], source: Source, database: SourceDatabase, target: PostgresDatabase, tidemark: Tidemark) {
    this.#cases = cases;
    this.#source = source;
    this.#database = database;
    this.#target = target;
    this.#tidemark = tidemark;
  }

  /** Plays all steps of all cases. `env` is the worker's, on top of the usual. */
  static async perform(product: Product, all: readonly HazardCase[], env: Readonly<Record<string, string>> = {}): Promise<Play> {
    const cases = all.filter(({ products }) => products === undefined || products.includes(product));
    const database = product === 'postgres' ? await createDatabase('play') : await createMariadb('play');
    const target = await createDatabase('target');
    for (const hazard of cases) await database.query(createTable(hazard, product));
    const variables = { ...database.secrets, ...env, DESTINATION_URL: target.url };
    const tidemark = await Tidemark.start(configuration(database, product, cases), variables);
    await tidemark.apply();
    const play = new Play(cases, sourceOf(database, product), database, target, tidemark);
    await play.#perform();
    return play;
  }

  async #perform(): Promise<void> {
    const last = Math.max(...this.#cases.map(({ steps }) => steps.length));
    for (let step = 0; step < last; step += 1) {
      for (const hazard of this.#cases) await hazard.steps[step]?.(this.#source);
      await this.#sync(this.#cases.filter(({ during }) => during?.step === step));
    }
    for (let quiet = 0; quiet < QUIET_SYNCS; quiet += 1) await this.#sync([]);
  }

  async #sync(changing: readonly HazardCase[]): Promise<void> {
    const before = new Map<string, number>();
    for (const hazard of changing) before.set(hazard.id, await this.#batches(hazard));
    const gate = changing.length === 0 ? null : await this.#gate();
    const running = this.#tidemark.begin('sync', 'play', '--json');
    const ended = { value: false };
    void running.result.finally(() => (ended.value = true));
    const changes = changing.map(async (hazard) => {
      await waitFor(`the first batch of ${hazard.id}`, async () => (ended.value || (await this.#batches(hazard)) > (before.get(hazard.id) ?? 0) ? true : null), FIRST_BATCH_MS);
      await hazard.during?.change(this.#source);
      return { hazard, batches: await this.#batches(hazard) };
    });
    const seen = await Promise.all(changes).finally(() => gate?.end());
    this.#syncs.push(await running.result);
    for (const { hazard, batches } of seen) if ((await this.#batches(hazard)) > batches) this.#changedMidRun.add(hazard.id);
  }

  /** Closes the gate; it opens when the client ends. */
  async #gate(): Promise<{ end(): Promise<void> }> {
    await this.#target.query(GATE_SQL);
    const client = await this.#target.client();
    await client.query(`SELECT pg_advisory_lock(${GATE})`);
    return client;
  }

  /** Batches that the ledger has for a case; 0 before the ledger is there. */
  async #batches(hazard: HazardCase): Promise<number> {
    const found = await this.#target.value("SELECT to_regclass('tidemark.ledger')");
    if (found === null) return 0;
    return Number(await this.#target.value(`SELECT count(*) FROM tidemark.ledger WHERE stream::text ~ '\\m${hazard.id.toLowerCase()}\\M'`));
  }

  get ids(): readonly string[] {
    return this.#cases.map(({ id }) => id);
  }

  /** How a case ended: the comparison of its two tables, by a reader that is not Tidemark's. */
  async outcome(id: string): Promise<Outcome> {
    const hazard = this.#cases.find((each) => each.id === id);
    if (hazard === undefined) throw new Error(`no case ${id}`);
    const table = id.toLowerCase();
    const syncs = this.#syncs.map(({ json, code, stderr, stdout }) => {
      const result = json?.streams?.find(({ stream }) => stream === table || stream.endsWith(`.${table}`));
      if (result === undefined) throw new Error(`a sync ended with ${code} and no result for ${table}:\n${stdout.slice(0, 2000)}\n${stderr.slice(-2000)}\n${this.#tidemark.workerTails()}`);
      return result;
    });
    const changedMidRun = this.#changedMidRun.has(id);
    const refusal = hazard.mayRefuse?.[this.#source.product];
    if (refusal !== undefined && syncs.every(({ error }) => error?.code === refusal)) return { sourceRows: 0, targetRows: 0, differences: [], syncs: [], changedMidRun };
    const comparison = await compareTables(this.#database, table, this.#target, `play.${table}`, hazard.key);
    return { ...comparison, syncs, changedMidRun };
  }
}
