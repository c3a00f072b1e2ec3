/**
 * One stream, its source and its destination on real servers, and the steps of the pipeline as the workflow calls them: a step that
 * fails is called again, a batch that is fenced or whose stage is lost is begun anew. No Temporal, so that a test decides when what happens.
 */
import { loadSettingsFromText } from '../../control/configuration/load.ts';
import { saveSource } from '../../destinations/postgres/catalog.ts';
import { Destination } from '../../destinations/postgres/destination.ts';
import { finishBuild, keyBuild } from '../../pipeline/build.ts';
import { copyPart } from '../../pipeline/copy-part.ts';
import type { Engine, OnProgress } from '../../pipeline/engine.ts';
import { extractBatch } from '../../pipeline/extract.ts';
import type { Extracted } from '../../pipeline/extract.ts';
import { loadBatch } from '../../pipeline/load.ts';
import { loadWhereEmpty } from '../../pipeline/load-empty.ts';
import { prepareStream } from '../../pipeline/prepare.ts';
import type { Prepared } from '../../pipeline/prepare.ts';
import { transformBatch } from '../../pipeline/transform.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { createEngine, readCapabilities } from '../../workers/wiring.ts';
import { compareTables } from '../support/compare.ts';
import type { MariadbDatabase, MariadbServer } from '../support/mariadb.ts';
import { createMariadb } from '../support/mariadb.ts';
import { createDatabase } from '../support/postgres.ts';
import type { PostgresDatabase } from '../support/postgres.ts';
import { onFileEnd } from '../support/release.ts';

export type Product = 'postgres' | 'mariadb';

export const SOURCE = 'shop';
export const TABLE = 'item';
/** Rows before the first load; with {@link BATCH_ROWS} that is several parts. */
export const ROWS = 90;
export const BATCH_ROWS = 30;

const ATTEMPTS_MAX = 4;

/** An incremental batch, or one part of a build. */
export interface Step {
  readonly name: string;
  readonly generation: number;
}

export interface StreamOptions {
  readonly product: Product;
  /** A source that does not enforce its key sends every batch through the transform. */
  readonly keyEnforced?: boolean;
  readonly keyless?: boolean;
  /** Default: upsert. */
  readonly mode?: 'append';
  /** Rows of a batch that another is copied beside. Default: the worker's own, far more than a test has. */
  readonly sideRows?: number;
  readonly target?: PostgresDatabase;
  /** A MariaDB of the test's own, where the rows of single batches are counted: a read begins where a transaction that was open on its server did. */
  readonly mariadb?: MariadbServer;
  /** A destination that a test has tampered with. */
  readonly open?: (url: string) => Destination;
}

export class OneStream {
  readonly source: PostgresDatabase | MariadbDatabase;
  readonly target: PostgresDatabase;
  readonly product: Product;
  readonly engine: Engine;
  readonly partRowsMax: number;
  runId = 'run-1';
  #steps = 0;

  private constructor(options: StreamOptions, source: PostgresDatabase | MariadbDatabase, target: PostgresDatabase, engine: Engine) {
    this.product = options.product;
    this.source = source;
    this.target = target;
    this.engine = engine;
    this.partRowsMax = BATCH_ROWS;
  }

  /** Makes both databases, the table with {@link ROWS} rows, and applies the stream. Nothing is synced yet. */
  static async create(options: StreamOptions): Promise<OneStream> {
    const source = options.product === 'postgres' ? await createDatabase('source') : await createMariadb('source', options.mariadb);
    const target = options.target ?? (await createDatabase('target'));
    const key = options.keyless ? '' : (options.keyEnforced ?? true) ? ', PRIMARY KEY (id)' : '';
    const at = options.product === 'postgres' ? 'timestamptz(6)' : 'datetime(6)';
    await source.query(`CREATE TABLE ${TABLE} (id bigint NOT NULL, name varchar(80), at ${at} NOT NULL${key})`);
    const open = options.open ?? ((url: string) => new Destination(url, { sessionsMax: 12, applicationName: 'tidemark test' }));
    const destination = open(target.url);
    onFileEnd(() => destination.close());
    await destination.ready();
    await apply(destination, options, source);
    const engine = createEngine(destination, () => source.secrets);
    const stream = new OneStream(options, source, target, options.sideRows === undefined ? engine : { ...engine, sideRows: options.sideRows });
    await stream.insert(1, ROWS);
    return stream;
  }

  /** Another worker: an engine on the same databases. */
  withDestination(destination: Destination): Engine {
    onFileEnd(() => destination.close());
    return createEngine(destination, () => this.source.secrets);
  }

  async insert(from: number, to: number): Promise<void> {
    const clock = this.product === 'postgres' ? 'clock_timestamp()' : 'sysdate(6)';
    for (let id = from; id <= to; id += 1) await this.source.query(`INSERT INTO ${TABLE} (id, name, at) VALUES (${id}, 'name ${id}', ${clock})`);
  }

  async change(from: number, to: number, name: string): Promise<void> {
    const clock = this.product === 'postgres' ? 'clock_timestamp()' : 'sysdate(6)';
    for (let id = from; id <= to; id += 1) await this.source.query(`UPDATE ${TABLE} SET name = '${name}', at = ${clock} WHERE id = ${id}`);
  }

  async prepare(full = false, goesOn = false): Promise<Prepared> {
    const capabilities = await readCapabilities(this.engine.destination, SOURCE);
    return prepareStream(this.engine, { source: SOURCE, stream: TABLE, full, goesOn }, capabilities, this.partRowsMax, new AbortController().signal);
  }

  /** A batch that no step has had yet. */
  nextStep(generation: number): Step {
    return { name: `0.0.i.${this.#steps++}`, generation };
  }

  #ref(step: Step) {
    return { source: SOURCE, stream: TABLE, runId: this.runId, step: step.name, generation: step.generation };
  }

  async extract(step: Step, engine = this.engine, onProgress: OnProgress = () => undefined): Promise<Extracted> {
    return loadWhereEmpty(engine, this.#ref(step), await extractBatch(engine, this.#ref(step), new AbortController().signal, onProgress));
  }

  copy(step: Step, part: number, engine = this.engine) {
    return copyPart(engine, this.#ref(step), part, new AbortController().signal, () => undefined);
  }

  transform(batch: number, part: number | null = null, engine = this.engine) {
    return transformBatch(engine, { batch, part });
  }

  load(batch: number, part: number | null = null, engine = this.engine) {
    return loadBatch(engine, { batch, part });
  }

  /** Brings the stream up to date. Returns how often a step was called again, a batch begun anew. */
  async sync(full = false): Promise<{ again: number; anew: number }> {
    const tally = { again: 0, anew: 0 };
    const prepared = await tried(() => this.prepare(full), tally);
    if (prepared.action === 'increment') {
      await this.#increments(prepared.generation, tally);
      return tally;
    }
    for (const part of prepared.parts) await this.#anew(tally, () => this.#part(this.nextStep(prepared.generation), part, tally));
    await tried(() => keyBuild(this.engine, SOURCE, TABLE, prepared.generation), tally);
    if (prepared.catchUp) await this.#increments(prepared.generation, tally);
    await tried(() => finishBuild(this.engine, SOURCE, TABLE, prepared.generation), tally);
    return tally;
  }

  async #increments(generation: number, tally: Tally): Promise<void> {
    while (await this.#anew(tally, () => this.#range(this.nextStep(generation), tally)));
  }

  async #range(step: Step, tally: Tally): Promise<boolean> {
    const { batch, needsTransform, more, loaded } = await tried(() => this.extract(step), tally);
    if (needsTransform) await tried(() => this.transform(batch), tally);
    if (loaded === undefined) await tried(() => this.load(batch), tally);
    return more;
  }

  async #part(step: Step, part: number, tally: Tally): Promise<void> {
    const { batch, staged } = await tried(() => this.copy(step, part), tally);
    if (!staged) return;
    await tried(() => this.transform(batch, part), tally);
    await tried(() => this.load(batch, part), tally);
  }

  async #anew<T>(tally: Tally, batch: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await batch();
      } catch (error) {
        if (!wantsNewBatch(error) || ++tally.anew > ATTEMPTS_MAX) throw error;
      }
    }
  }

  /** Differences between source and target in words, by SQL that shares nothing with Tidemark. */
  async differences(): Promise<readonly string[]> {
    return (await compareTables(this.source, TABLE, this.target, `${SOURCE}.${TABLE}`, ['id'])).differences;
  }

  /** What the ledger says of the run so far. */
  async ledger(): Promise<{ batches: number; read: number; written: number; balanced: boolean }> {
    const [row] = await this.target.query(
      `SELECT count(*) AS batches, coalesce(sum(read), 0) AS read, coalesce(sum(written), 0) AS written,
         coalesce(bool_and(read = written + unchanged + rejected + superseded + deleted), true)::text AS balanced FROM tidemark.ledger WHERE run_id = '${this.runId}'`,
    );
    return { batches: Number(row?.['batches']), read: Number(row?.['read']), written: Number(row?.['written']), balanced: row?.['balanced'] === 'true' };
  }

  /** What must hold at rest, in words; empty where all of it does. `written`: rows that this run had to write, each once. */
  async faults(written: number): Promise<string[]> {
    const found = [...(await this.differences())];
    const ledger = await this.ledger();
    if (!ledger.balanced) found.push('the equation does not hold');
    if (ledger.written !== written) found.push(`the ledger has ${ledger.written} rows written, the run had to write ${written}`);
    const twice = await this.target.value('SELECT count(*) FROM (SELECT batch FROM tidemark.ledger GROUP BY batch HAVING count(*) > 1) b');
    if (twice !== '0') found.push(`${twice} batches stand in the ledger twice`);
    const unknown = await this.target.value(`SELECT count(*) FROM ${SOURCE}.${TABLE} t WHERE NOT EXISTS (SELECT FROM tidemark.ledger l WHERE l.batch = t._tidemark_batch)`);
    if (unknown !== '0') found.push(`${unknown} rows are of no batch of the ledger`);
    return found;
  }
}

interface Tally {
  again: number;
  anew: number;
}

function wantsNewBatch(error: unknown): boolean {
  return error instanceof TidemarkError && ['batch.fenced', 'batch.stage_lost', 'batch.equation'].includes(error.code);
}

/** Calls a step again as Temporal would after a worker's crash. */
async function tried<T>(step: () => Promise<T>, tally: Tally): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await step();
    } catch (error) {
      if (wantsNewBatch(error) || attempt === ATTEMPTS_MAX) throw error;
      tally.again += 1;
    }
  }
}

async function apply(destination: Destination, options: StreamOptions, source: PostgresDatabase | MariadbDatabase): Promise<void> {
  const key = options.keyless ? '' : ', key: [id], cursor: at';
  const text = `destination: { url: "\${DESTINATION_URL}" }
defaults: { overlap: 0s, batch_rows: ${BATCH_ROWS} }
sources:
  - id: ${SOURCE}
    kind: ${options.product}
    connection: ${source.connection}
    streams:
      - { table: ${TABLE}${key}${options.mode === undefined ? '' : `, mode: ${options.mode}`} }
`;
  const loaded = await loadSettingsFromText('tidemark.yaml', text, { env: { ...source.secrets, DESTINATION_URL: 'postgresql://u@h/d' }, requireEnv: true });
  const settings = loaded.settings.sources[0]!;
  await destination.transaction('applying', (session) => saveSource(session, settings, 'test', [`${SOURCE}.${TABLE}`]));
}
