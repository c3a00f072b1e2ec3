import type { Guarantee, Part, Position } from '../../schemas/position.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import { outdateOpen } from './approvals.ts';
import { createGeneration, nameBatch } from './batch-column.ts';
import { isLockTimeout } from './errors.ts';
import type { Session } from './session.ts';
import { quoteIdent, quoteTable, type TableName } from './identifiers.ts';
import { retypeEmpty } from './retype.ts';
import { generationName, type TypedColumn } from './target.ts';

/** Per cent; see docs/performance.md. */
const UPDATED_FILLFACTOR = 90;

/** A build of a target on its way beside the one that readers see. */
export interface Building {
  readonly generation: number;
  readonly table: TableName;
  readonly version: number;
  readonly position: Position;
  readonly guarantee: Guarantee;
  readonly keyed: boolean;
  /** Ids of parts that are not loaded yet. */
  readonly openParts: readonly number[];
}

export interface NewGeneration {
  readonly source: string;
  readonly stream: string;
  readonly target: TableName;
  /** Columns that have another type than in the target. */
  readonly retype: readonly TypedColumn[];
  /** Rows of it will be updated: a tenth of each page is left free, so that a new version of a row finds room beside the old one and no index is written. */
  readonly updated: boolean;
  /** Tells whether a build that was interrupted can be gone on with: columns, types, key and mode. */
  readonly shapeHash: string;
  /** Fingerprint of the masks that its rows pass through; empty where there are none. */
  readonly masks: string;
  readonly position: Position;
  readonly guarantee: Guarantee;
  readonly asOf: string;
  readonly parts: readonly Part[];
}

/** A build of the stream was begun and has not taken the target's place. */
export async function isBuilding(session: Session, source: string, stream: string): Promise<boolean> {
  const { rows } = await session.query<{ building: boolean }>("select exists (select from tidemark.generation where source = $1 and stream = $2 and state = 'building') as building", [source, stream]);
  return rows[0]!.building;
}

/** Finds the interrupted build of a stream where it has the same shape; drops one that has another. */
export async function findBuilding(session: Session, source: string, stream: string, shapeHash: string): Promise<Building | null> {
  const { rows } = await session.query<{ generation: number; table_schema: string; table_name: string; shape_hash: string; version: string; position: Position; guarantee: Guarantee; keyed: boolean; open: string[] }>(
    `select g.generation, table_schema, table_name, shape_hash, version, position, guarantee, keyed,
       array(select id::text from tidemark.range r where r.source = g.source and r.stream = g.stream and r.generation = g.generation and done_at is null order by id) as open
     from tidemark.generation g where g.source = $1 and g.stream = $2 and g.state = 'building'`,
    [source, stream],
  );
  const row = rows[0];
  if (!row) return null;
  if (row.shape_hash !== shapeHash) {
    await dropBuilding(session, source, stream);
    return null;
  }
  return { generation: row.generation, table: { schema: row.table_schema, name: row.table_name }, version: Number(row.version), position: row.position, guarantee: row.guarantee, keyed: row.keyed, openParts: row.open.map(Number) };
}

/** Starts the next generation: an empty copy of the target without its keys, and the list of its parts. In the caller's transaction. */
export async function startGeneration(session: Session, next: NewGeneration): Promise<Building> {
  const { rows } = await session.query<{ n: number }>('select coalesce(max(generation), 0)::int + 1 as n from tidemark.generation where source = $1 and stream = $2', [next.source, next.stream]);
  const generation = rows[0]!.n;
  const table = generationName(next.target, generation);
  await createGeneration(session, table, next.target, next.parts.length === 1);
  await retypeEmpty(session, table, next.retype);
  if (next.updated) await session.query(`alter table ${quoteTable(table)} set (fillfactor = ${UPDATED_FILLFACTOR})`);
  await session.query(
    `insert into tidemark.generation (source, stream, generation, state, table_schema, table_name, shape_hash, position, display, guarantee, as_of, masks)
     values ($1, $2, $3, 'building', $4, $5, $6, $7, $8, $9, $10, $11)`,
    [next.source, next.stream, generation, table.schema, table.name, next.shapeHash, JSON.stringify(next.position), next.position.display, next.guarantee, next.asOf, next.masks],
  );
  const { rows: ids } = await session.query<{ id: string }>(
    `insert into tidemark.range (source, stream, generation, part) select $1, $2, $3, p from jsonb_array_elements($4::jsonb) p returning id`,
    [next.source, next.stream, generation, JSON.stringify(next.parts)],
  );
  return { generation, table, version: 0, position: next.position, guarantee: next.guarantee, keyed: false, openParts: ids.map((row) => Number(row.id)) };
}

/** Holds a build until the transaction's end, so that neither its key nor its swap comes in between. False, without waiting, where somebody else holds it or it is over. */
export async function holdBuilding(session: Session, { source, stream, generation }: Pick<NewGeneration, 'source' | 'stream'> & Pick<Building, 'generation'>): Promise<boolean> {
  const { rowCount } = await session.query(
    "select from tidemark.generation where source = $1 and stream = $2 and generation = $3 and state = 'building' for update skip locked",
    [source, stream, generation],
  );
  return rowCount === 1;
}

export async function readBuilding(session: Session, source: string, stream: string, generation: number): Promise<Building> {
  const found = await session.query<{ shape_hash: string }>("select shape_hash from tidemark.generation where source = $1 and stream = $2 and generation = $3 and state = 'building'", [source, stream, generation]);
  const building = found.rows[0] ? await findBuilding(session, source, stream, found.rows[0].shape_hash) : null;
  if (!building) throw new TidemarkError('batch.fenced', `Generation ${generation} of ${stream} is not being built any more.`);
  return building;
}

/** Fingerprint of the masks that the target's rows have passed through; empty where there are no masks, or no rows yet. */
export async function masksOfTarget(session: Session, source: string, stream: string): Promise<string> {
  const { rows } = await session.query<{ masks: string }>("select masks from tidemark.generation where source = $1 and stream = $2 and state = 'current'", [source, stream]);
  return rows[0]?.masks ?? '';
}

/** True where the generation's rows pass through other masks than those of the target it is to replace. */
export async function changesMasks(session: Session, source: string, stream: string, generation: number): Promise<boolean> {
  const { rows } = await session.query<{ masks: string }>('select masks from tidemark.generation where source = $1 and stream = $2 and generation = $3', [source, stream, generation]);
  return (await masksOfTarget(session, source, stream)) !== (rows[0]?.masks ?? '');
}

/** The target equals a build under other masks row by row: its rows are as if they had passed through those. */
export async function adoptMasks(session: Session, source: string, stream: string, generation: number): Promise<void> {
  await session.query(
    `update tidemark.generation c set masks = g.masks from tidemark.generation g
     where c.source = $1 and c.stream = $2 and c.state = 'current' and g.source = c.source and g.stream = c.stream and g.generation = $3`,
    [source, stream, generation],
  );
}

export async function readPart(session: Session, id: number): Promise<Part> {
  const { rows } = await session.query<{ part: Part }>('select part from tidemark.range where id = $1', [id]);
  if (!rows[0]) throw new TidemarkError('batch.fenced', 'This part of a build does not exist any more.');
  return rows[0].part;
}

/** The part that fills the generation alone, with its batch once it is loaded; null where there are several. */
async function onlyPart(session: Session, source: string, stream: string, generation: number): Promise<{ batch: number | null } | null> {
  const { rows } = await session.query<{ batch: string | null }>('select batch from tidemark.range where source = $1 and stream = $2 and generation = $3 limit 2', [source, stream, generation]);
  const [part] = rows;
  return part === undefined || rows.length > 1 ? null : { batch: part.batch === null ? null : Number(part.batch) };
}

/**
 * Empties a generation that one part fills, in the transaction that copies it, so that its rows can be written as frozen. False where there are
 * other parts, or where somebody looks at the generation (a dump of the database does): a load waits for nobody's reading.
 */
export async function emptyWhole(session: Session, source: string, stream: string, { generation, table }: Building): Promise<boolean> {
  if ((await onlyPart(session, source, stream, generation)) === null) return false;
  await session.query('savepoint emptying');
  try {
    await session.query(`lock table ${quoteTable(table)} in access exclusive mode nowait`);
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    await session.query('rollback to savepoint emptying');
    return false;
  }
  await session.query(`truncate ${quoteTable(table)}`);
  await session.query('release savepoint emptying');
  return true;
}

/** Marks a part as loaded, in the transaction of its rows. A second time means that another attempt was first: nothing may commit. */
export async function finishPart(session: Session, id: number, batch: number): Promise<void> {
  const { rowCount } = await session.query('update tidemark.range set batch = $2, done_at = clock_timestamp() where id = $1 and done_at is null', [id, batch]);
  if (rowCount !== 1) throw new TidemarkError('batch.fenced', 'Another attempt has loaded this part; this one commits nothing.');
}

/** Builds the key of a generation whose parts are all loaded, so that it can be caught up by key. Once. */
export async function keyGeneration(session: Session, source: string, stream: string, building: Building, key: readonly string[]): Promise<void> {
  if (building.keyed) return;
  const whole = await onlyPart(session, source, stream, building.generation);
  if (whole !== null && whole.batch !== null) await nameBatch(session, building.table, whole.batch);
  if (key.length > 0) await session.query(`alter table ${quoteTable(building.table)} add primary key (${key.map(quoteIdent).join(', ')})`);
  await session.query('update tidemark.generation set keyed = true where source = $1 and stream = $2 and generation = $3', [source, stream, building.generation]);
}

/** Ends a build without a trace in the target. Nobody has to decide about it any more. */
export async function dropBuilding(session: Session, source: string, stream: string): Promise<void> {
  const { rows } = await session.query<{ generation: number; table_schema: string; table_name: string }>(
    "update tidemark.generation set state = 'dropped' where source = $1 and stream = $2 and state = 'building' returning generation, table_schema, table_name",
    [source, stream],
  );
  if (rows.length > 0) await outdateOpen(session, { source, stream, action: 'swap' });
  for (const row of rows) {
    await session.query(`drop table if exists ${quoteTable({ schema: row.table_schema, name: row.table_name })}`);
    await session.query('delete from tidemark.range where source = $1 and stream = $2 and generation = $3', [source, stream, row.generation]);
  }
}
