/** Rejected rows that wait in the destination: what they are, and how a replay takes them up. */
import { quoteIdent, quoteLiteral, quoteTable, type TableName } from './identifiers.ts';
import type { Session } from './session.ts';
import { REJECT_COLUMN, SUPERSEDED_COLUMN, VALUES_COLUMN, valuesAsText, type Stage } from './stage.ts';
import { BATCH_COLUMN } from './target.ts';

/** Columns of a replay's stage: the waiting row's id, and the batch that read it. */
const ID_COLUMN = '_tidemark_quarantine';
export const READ_BATCH_COLUMN = '_tidemark_read_batch';

/** A row whose rules all say `reject` has left only its key: nothing of it can be loaded. */
const REPLAYABLE = `exists (select from jsonb_array_elements(q.reasons) r where coalesce(r->>'otherwise', 'quarantine') <> 'reject')`;

export interface WaitingRow {
  readonly id: number;
  /** The last batch that read it. */
  readonly batch: number;
  readonly reasons: readonly { readonly column: string | null; readonly code: string; readonly rule?: string }[];
  /** False where only its key was kept, or its values passed through other masks than today's. */
  readonly replayable: boolean;
  readonly createdAt: string;
  /** Values as text by column, masked ones as they were masked. */
  readonly row: Readonly<Record<string, string | null>>;
}

/** Rows that wait, newest first. */
export async function listWaiting(session: Session, source: string, stream: string, limit: number): Promise<WaitingRow[]> {
  const { rows } = await session.query<WaitingRow>(
    `select id::float8, batch::float8, reasons, "row", to_char(created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "createdAt",
       ${REPLAYABLE} and masks = ${MASKS_NOW} as replayable
     from tidemark.quarantine q where source = $1 and stream = $2 and replayed_at is null order by q.id desc limit $3`,
    [source, stream, limit],
  );
  return rows;
}

export async function countWaiting(session: Session, source: string, stream: string): Promise<number> {
  const { rows } = await session.query<{ n: string }>('select count(*) as n from tidemark.quarantine where source = $1 and stream = $2 and replayed_at is null', [source, stream]);
  return Number(rows[0]!.n);
}

const MASKS_NOW = "coalesce((select g.masks from tidemark.generation g where g.source = $1 and g.stream = $2 and g.state = 'current'), '')";

/**
 * Fills a lenient stage with the waiting rows that can be replayed. `sourceNames`: the source's name of each of the stage's columns, since
 * values that a connector refused stand under those. Returns how many rows there are, and a hash of them.
 */
export async function stageWaiting(session: Session, stage: Stage, source: string, stream: string, sourceNames: readonly string[]): Promise<{ rows: number; hash: string }> {
  const table = quoteTable(stage.table);
  await session.query(`alter table ${table} add column if not exists ${ID_COLUMN} bigint, add column if not exists ${READ_BATCH_COLUMN} bigint`);
  const values = stage.columns.map((column, at) => `coalesce(q."row"->>${quoteLiteral(column.name)}, q."row"->>${quoteLiteral(sourceNames[at] ?? column.name)})`);
  const { rowCount } = await session.query(
    `insert into ${table} (${[...stage.columns.map((column) => quoteIdent(column.name)), ID_COLUMN, READ_BATCH_COLUMN].join(', ')})
     select ${[...values, 'q.id', 'q.batch'].join(', ')} from tidemark.quarantine q
     where q.source = $1 and q.stream = $2 and q.replayed_at is null and ${REPLAYABLE} and q.masks = ${MASKS_NOW} for update of q`,
    [source, stream],
  );
  const { rows } = await session.query<{ hash: string }>(
    `select encode(sha256(convert_to(coalesce(string_agg(q."row"::text, E'\\n' order by q.id), ''), 'UTF8')), 'hex') as hash from tidemark.quarantine q join ${table} s on s.${ID_COLUMN} = q.id`,
  );
  return { rows: rowCount ?? 0, hash: rows[0]!.hash };
}

/** Marks rows without a key as rejected, and as superseded all but the newest read of each key and those whose target row comes from a later batch. */
export async function markOutdated(session: Session, stage: Stage, into: TableName, key: readonly string[]): Promise<void> {
  if (key.length === 0) return;
  const table = quoteTable(stage.table);
  const typed = (name: string) => `cast(s.${quoteIdent(name)} as ${stage.columns.find((column) => column.name === name)?.type ?? 'text'})`;
  const good = `s.${REJECT_COLUMN} is null`;
  await session.query(
    `update ${table} s set ${REJECT_COLUMN} = ${quoteLiteral(JSON.stringify([{ column: key[0], code: 'key_null' }]))}, ${VALUES_COLUMN} = ${valuesAsText(stage, 's')}
     where ${good} and (${key.map((name) => `s.${quoteIdent(name)} is null`).join(' or ')})`,
  );
  await session.query(
    `update ${table} o set ${SUPERSEDED_COLUMN} = true from (
       select s.ctid as id, row_number() over (partition by ${key.map(typed).join(', ')} order by s.${READ_BATCH_COLUMN} desc, s.${ID_COLUMN} desc) as n,
         exists (select from ${quoteTable(into)} t where ${key.map((name) => `t.${quoteIdent(name)} = ${typed(name)}`).join(' and ')} and t.${BATCH_COLUMN} > s.${READ_BATCH_COLUMN}) as newer
       from ${table} s where ${good}) d where d.id = o.ctid and (d.n > 1 or d.newer)`,
  );
}

/** Closes the waiting rows that the replay took in or found outdated; the others go on waiting. */
export async function closeReplayed(session: Session, stage: Stage, batch: number): Promise<void> {
  await session.query(
    `update tidemark.quarantine q set replayed_at = clock_timestamp(), replay_batch = $1, outcome = case when s.${SUPERSEDED_COLUMN} then 'superseded' else 'loaded' end
     from ${quoteTable(stage.table)} s where s.${ID_COLUMN} = q.id and s.${REJECT_COLUMN} is null`,
    [batch],
  );
}

/** A new build has read every row again: what it did not reject anew waits for nothing any more. */
export async function closeBeforeBuild(session: Session, source: string, stream: string, generation: number): Promise<void> {
  await session.query(
    `update tidemark.quarantine set replayed_at = clock_timestamp(), outcome = 'superseded'
     where source = $1 and stream = $2 and replayed_at is null and batch < (select min(batch) from tidemark.ledger where source = $1 and stream = $2 and generation = $3)`,
    [source, stream, generation],
  );
}
