/**
 * Apache Derby's network server, 10.4 to 10.7: it speaks Db2's protocol and this driver talks to it. Values of CHAR and bit types
 * break the driver's connection unless they are cast; BLOBs have no substring and come whole up to 64 KiB.
 */
import { TidemarkError } from '../../schemas/errors.ts';
import { cellDigits, cellNumber, cellText, numeric, plain, type CatalogColumn, type CatalogIndex, type Dialect, type Query, type ValueRead } from './dialect.ts';
import { quoteName, type TableName } from './names.ts';
import type { Row } from './reader-client.ts';
import { parseType, type NativeColumn, type NativeType } from './types.ts';

const CATALOG_ROWS_MAX = 200_000;
/** Derby declares a text's length in characters, the driver takes it for bytes of UTF-8: it cuts what is longer. */
const BYTES_PER_UNIT = 3;
const TEXT_PIECE = 10_000;
const BITS_MAX = 32_700;
const BLOB_BUFFER = 65_536;
const MINUTES_STEP = 15;

function valueRead(column: NativeColumn): ValueRead | null {
  const name = quoteName(column.name);
  const type = parseType(column.nativeType);
  const length = `LENGTH(${name})`;
  const wide = (sql: string, units: number): string => `CAST(${sql} AS VARCHAR(${units * BYTES_PER_UNIT}))`;
  const whole = (units: number): ValueRead => ({ ...plain(wide(name, units), units * BYTES_PER_UNIT, 'text'), lengthSql: length });
  const inPieces = (): ValueRead => {
    const piece = (start: string): string => wide(`SUBSTR(${name}, ${start}, ${TEXT_PIECE})`, TEXT_PIECE);
    return { ...plain(piece('1'), TEXT_PIECE * BYTES_PER_UNIT, 'text'), lengthSql: length, rest: { pieceLength: TEXT_PIECE, sql: piece } };
  };
  switch (type.base) {
    case 'SMALLINT':
    case 'INTEGER':
    case 'REAL':
    case 'DOUBLE':
      return numeric(name);
    case 'BIGINT':
      return plain(name, 20);
    case 'DECIMAL':
      return plain(`RTRIM(CHAR(${name}))`, type.length + 3);
    case 'BOOLEAN':
      return plain(`CAST(${name} AS VARCHAR(5))`, 5);
    case 'CHAR':
    case 'VARCHAR':
      return type.length <= TEXT_PIECE ? whole(type.length) : inPieces();
    case 'LONG VARCHAR':
    case 'CLOB':
      return inPieces();
    case 'BINARY':
    case 'VARBINARY':
    case 'LONG VARBINARY':
      return { ...plain(`CAST(${name} AS LONG VARCHAR FOR BIT DATA)`, 0, 'bytes'), width: BITS_MAX };
    case 'BLOB':
      return { ...plain(name, 0, 'bytes'), lengthSql: `LENGTH(${name})`, width: BLOB_BUFFER };
    case 'DATE':
      return plain(`CAST(${name} AS VARCHAR(10))`, 10);
    case 'TIME':
      return plain(`CAST(${name} AS VARCHAR(8))`, 8);
    case 'TIMESTAMP':
      // VARCHAR(…) fails for a value with nanoseconds, which Derby can hold.
      return plain(`CAST(${name} AS VARCHAR(32))`, 32, 'microseconds');
    default:
      return null;
  }
}

function parameter(type: NativeType): string {
  const text = 'CAST(? AS VARCHAR(64))';
  switch (type.base) {
    case 'DECIMAL':
      return `CAST(${text} AS DECIMAL(${type.length},${type.scale}))`;
    case 'SMALLINT':
    case 'INTEGER':
    case 'BIGINT':
      return `CAST(${text} AS ${type.base})`;
    case 'REAL':
    case 'DOUBLE':
      return `DOUBLE(${text})`;
    case 'DATE':
    case 'TIME':
    case 'TIMESTAMP':
      return `${type.base}(${text})`;
    default:
      return 'CAST(? AS VARCHAR(32672))';
  }
}

/** Derby tells no zone: the difference to this machine's clock, in steps of a quarter of an hour, is taken for it. */
function offsetOf(clock: string): number {
  const ahead = Date.parse(`${clock.replace(' ', 'T').slice(0, 19)}Z`) - Date.now();
  return Math.round(ahead / 60_000 / MINUTES_STEP) * MINUTES_STEP;
}

const ofTable = (table: TableName | null, schema: string, name: string): { sql: string; params: readonly string[] } =>
  table === null ? { sql: `${schema} NOT LIKE 'SYS%'`, params: [] } : { sql: `${schema} = ? AND ${name} = ?`, params: [table.schema, table.name] };

async function columns(query: Query, table: TableName | null): Promise<readonly CatalogColumn[]> {
  const filter = ofTable(table, 's.SCHEMANAME', 't.TABLENAME');
  const rows = await query(
    `SELECT s.SCHEMANAME, t.TABLENAME, c.COLUMNNAME, CAST(c.COLUMNDATATYPE AS VARCHAR(200))
     FROM SYS.SYSCOLUMNS c JOIN SYS.SYSTABLES t ON t.TABLEID = c.REFERENCEID JOIN SYS.SYSSCHEMAS s ON s.SCHEMAID = t.SCHEMAID
     WHERE ${filter.sql} AND t.TABLETYPE IN ('T', 'V') ORDER BY s.SCHEMANAME, t.TABLENAME, c.COLUMNNUMBER`,
    filter.params,
    CATALOG_ROWS_MAX,
  );
  return rows.map(([schema, name, column, type]) => {
    const nativeType = cellText(type);
    return {
      schema: cellText(schema),
      table: cellText(name),
      name: String(column),
      nativeType: nativeType.replace(/ NOT NULL$/, '').replace(' (', '('),
      nullable: !nativeType.endsWith(' NOT NULL'),
    };
  });
}

async function indexes(query: Query, table: TableName | null): Promise<readonly CatalogIndex[]> {
  const filter = ofTable(table, 's.SCHEMANAME', 't.TABLENAME');
  const rows = await query(
    `SELECT s.SCHEMANAME, t.TABLENAME, CAST(g.DESCRIPTOR AS VARCHAR(1000)), CAST(k.TYPE AS VARCHAR(1))
     FROM SYS.SYSCONGLOMERATES g JOIN SYS.SYSTABLES t ON t.TABLEID = g.TABLEID JOIN SYS.SYSSCHEMAS s ON s.SCHEMAID = t.SCHEMAID
     LEFT JOIN SYS.SYSKEYS y ON y.CONGLOMERATEID = g.CONGLOMERATEID LEFT JOIN SYS.SYSCONSTRAINTS k ON k.CONSTRAINTID = y.CONSTRAINTID
     WHERE ${filter.sql} AND CAST(g.DESCRIPTOR AS VARCHAR(1000)) IS NOT NULL`,
    filter.params,
    CATALOG_ROWS_MAX,
  );
  const all = await columns(query, table);
  return rows.map(([schema, name, descriptor, constraint]) => {
    const own = all.filter((column) => column.schema === cellText(schema) && column.table === cellText(name));
    const places = /\(([^)]*)\)\s*$/.exec(cellText(descriptor))?.[1] ?? '';
    return {
      schema: cellText(schema),
      table: cellText(name),
      columns: places.split(',').map((place) => own[Number.parseInt(place, 10) - 1]?.name ?? '').filter((column) => column !== ''),
      use: cellText(constraint) === 'P' ? ('primary' as const) : cellText(descriptor).startsWith('UNIQUE BTREE') ? ('unique' as const) : ('other' as const),
    };
  });
}

/** A statement that asks for its own id. */
const OWN_STATEMENT = 'SELECT CAST(ID AS VARCHAR(36)) FROM SYSCS_DIAG.STATEMENT_CACHE';

/** Where users have roles, diagnostics may be the owner's alone. */
function unlessRefused(error: unknown): readonly Row[] {
  if (error instanceof TidemarkError && error.code === 'source.privilege_missing') return [];
  throw error;
}

export const derby: Dialect = {
  product: 'Apache Derby',
  readSuffix: ' FOR READ ONLY WITH CS',
  clockSql: 'SELECT CAST(CURRENT_TIMESTAMP AS VARCHAR(32)) FROM SYSIBM.SYSDUMMY1',
  valueRead,
  parameter,
  async session(query) {
    const [user] = await query('VALUES CAST(USER AS VARCHAR(128))');
    const [schema] = await query('VALUES CAST(CURRENT SCHEMA AS VARCHAR(128))');
    const [clock] = await query(this.clockSql);
    // Derby has no identity of a database; that of each table is unique in the world.
    return { user: cellText(user?.[0]), schema: cellText(schema?.[0]), identity: 'derby', offsetMinutes: offsetOf(cellText(clock?.[0])) };
  },
  async tables(query, table) {
    const filter = ofTable(table, 's.SCHEMANAME', 't.TABLENAME');
    const rows = await query(
      `SELECT s.SCHEMANAME, t.TABLENAME, CAST(t.TABLETYPE AS VARCHAR(1)), CAST(t.TABLEID AS VARCHAR(36))
       FROM SYS.SYSTABLES t JOIN SYS.SYSSCHEMAS s ON s.SCHEMAID = t.SCHEMAID WHERE ${filter.sql} AND t.TABLETYPE IN ('T', 'V')
       ORDER BY s.SCHEMANAME, t.TABLENAME`,
      filter.params,
      CATALOG_ROWS_MAX,
    );
    return rows.map(([schema, name, type, id]) => {
      const isTable = cellText(type) === 'T';
      return {
        schema: cellText(schema),
        name: String(name),
        kind: isTable ? ('table' as const) : ('view' as const),
        identity: isTable ? cellText(id) : '',
        rowEstimate: cellNumber(null),
        bytesEstimate: cellNumber(null),
      };
    });
  },
  columns,
  indexes,
  async openTransactions(query) {
    const rows = await query(`SELECT CAST(FIRST_INSTANT AS VARCHAR(64)) FROM SYSCS_DIAG.TRANSACTION_TABLE WHERE TYPE = 'UserTransaction' AND FIRST_INSTANT IS NOT NULL`, [], 1_000);
    const [clock] = await query(this.clockSql);
    return { oldest: null, ids: rows.map(([instant]) => cellText(instant)), at: cellText(clock?.[0]) };
  },
  /** The ids that an engine gives to the statements it holds carry the moment of its own start, in their three groups in the middle. */
  async serverMarks(query) {
    const rows = await query(`${OWN_STATEMENT} WHERE SQL_TEXT LIKE '${OWN_STATEMENT}%' FETCH FIRST 1 ROWS ONLY`, [], 1).catch(unlessRefused);
    return { started: /^[0-9a-f]+-([0-9a-f]+-[0-9a-f]+-[0-9a-f]+)-/.exec(cellText(rows[0]?.[0]))?.[1] ?? null, log: null };
  },
  async counter(query, table) {
    const filter = ofTable(table, 's.SCHEMANAME', 't.TABLENAME');
    const [row] = await query(
      `SELECT c.AUTOINCREMENTVALUE FROM SYS.SYSCOLUMNS c JOIN SYS.SYSTABLES t ON t.TABLEID = c.REFERENCEID JOIN SYS.SYSSCHEMAS s ON s.SCHEMAID = t.SCHEMAID
       WHERE ${filter.sql} AND c.AUTOINCREMENTINC > 0`,
      filter.params,
      1,
    );
    return cellDigits(row?.[0]);
  },
};

