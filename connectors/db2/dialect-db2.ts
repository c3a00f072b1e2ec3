/** Db2 for Linux, UNIX and Windows, 10.5 and later. Its SQL is pinned by tests, since no such server runs where they do. */
import { TidemarkError } from '../../schemas/errors.ts';
import { cellDigits, cellNumber, cellText, numeric, plain, type CatalogColumn, type CatalogIndex, type Dialect, type OpenTransactions, type Query, type ServerMarks, type ValueRead } from './dialect.ts';
import { isoTimestamp } from './row-line.ts';
import { quoteName, type TableName } from './names.ts';
import { nativeTypeText, parseType, type NativeColumn, type NativeType } from './types.ts';

const CATALOG_ROWS_MAX = 1_000_000;

function textRead(sql: string, units: number, long: boolean): ValueRead {
  return { ...plain(sql, units, 'text'), lengthSql: `CHARACTER_LENGTH(${sql}, CODEUNITS16)`, long };
}

function bytesRead(sql: string, length: number, long: boolean): ValueRead {
  return { ...plain(sql, 0, 'bytes'), lengthSql: long ? `LENGTH(${sql})` : null, width: Math.max(length, 1), long };
}

function valueRead(column: NativeColumn): ValueRead | null {
  const name = quoteName(column.name);
  const type = parseType(column.nativeType);
  switch (type.base) {
    case 'SMALLINT':
    case 'INTEGER':
    case 'REAL':
    case 'DOUBLE':
      return numeric(name);
    case 'BIGINT':
      return plain(name, 20);
    case 'DECIMAL':
      return plain(`VARCHAR(${name})`, type.length + 2);
    case 'DECFLOAT':
      return plain(`VARCHAR(${name})`, 42, 'decfloat');
    case 'BOOLEAN':
      return plain(`CASE WHEN ${name} THEN 'true' WHEN NOT ${name} THEN 'false' END`, 5);
    case 'CHAR':
    case 'VARCHAR':
    case 'GRAPHIC':
    case 'VARGRAPHIC':
      return textRead(name, type.length, false);
    case 'LONG VARCHAR':
      return textRead(`CLOB(${name})`, 0, true);
    case 'LONG VARGRAPHIC':
      return textRead(`DBCLOB(${name})`, 0, true);
    case 'CLOB':
    case 'DBCLOB':
      return textRead(name, 0, true);
    case 'XML':
      return { ...plain(`XMLSERIALIZE(${name} AS CLOB(2147483647))`, 0, 'text'), long: true };
    case 'BINARY':
    case 'VARBINARY':
      return bytesRead(name, type.length, false);
    case 'LONG VARBINARY':
      return bytesRead(`BLOB(${name})`, 0, true);
    case 'BLOB':
      return bytesRead(name, 0, true);
    case 'DATE':
      return plain(`CHAR(${name}, ISO)`, 10);
    case 'TIME':
      return plain(`CHAR(${name}, JIS)`, 8);
    case 'TIMESTAMP':
      return plain(`VARCHAR(${name})`, 32, 'timestamp');
    default:
      return null;
  }
}

function parameter(type: NativeType): string {
  const text = 'CAST(? AS VARCHAR(64))';
  switch (type.base) {
    case 'SMALLINT':
    case 'INTEGER':
    case 'BIGINT':
      return `CAST(${text} AS ${type.base})`;
    case 'DECIMAL':
      return `CAST(${text} AS DECIMAL(${type.length},${type.scale}))`;
    case 'DECFLOAT':
      return `DECFLOAT(${text})`;
    case 'REAL':
    case 'DOUBLE':
      return `DOUBLE(${text})`;
    case 'DATE':
    case 'TIME':
      return `${type.base}(${text})`;
    case 'TIMESTAMP':
      return `TIMESTAMP(${text}, ${type.length})`;
    case 'GRAPHIC':
    case 'VARGRAPHIC':
      return `CAST(? AS VARGRAPHIC(${Math.max(type.length, 1)}))`;
    default:
      return `CAST(? AS VARCHAR(${Math.min(Math.max(type.length * 4, 1), 32_672)}))`;
  }
}

const ofTable = (table: TableName | null, schema: string, name: string): { sql: string; params: readonly string[] } =>
  table === null ? { sql: `${schema} NOT LIKE 'SYS%'`, params: [] } : { sql: `${schema} = ? AND ${name} = ?`, params: [table.schema, table.name] };

async function columns(query: Query, table: TableName | null): Promise<readonly CatalogColumn[]> {
  const filter = ofTable(table, 'TABSCHEMA', 'TABNAME');
  // Implicitly hidden columns are listed too: only SELECT * leaves them out.
  const rows = await query(
    `SELECT RTRIM(TABSCHEMA), TABNAME, COLNAME, TYPENAME, LENGTH, SCALE, NULLS, CODEPAGE FROM SYSCAT.COLUMNS WHERE ${filter.sql} ORDER BY TABSCHEMA, TABNAME, COLNO WITH CS`,
    filter.params,
    CATALOG_ROWS_MAX,
  );
  return rows.map(([schema, name, column, typeName, length, scale, nulls, codePage]) => ({
    schema: cellText(schema),
    table: cellText(name),
    name: String(column),
    nativeType: nativeTypeText(cellText(typeName), Number(length), Number(scale), Number(codePage)),
    nullable: cellText(nulls) === 'Y',
  }));
}

async function indexes(query: Query, table: TableName | null): Promise<readonly CatalogIndex[]> {
  const filter = ofTable(table, 'i.TABSCHEMA', 'i.TABNAME');
  const rows = await query(
    `SELECT RTRIM(i.TABSCHEMA), i.TABNAME, i.UNIQUERULE, RTRIM(i.INDSCHEMA) || '.' || i.INDNAME, u.COLNAME FROM SYSCAT.INDEXES i
     JOIN SYSCAT.INDEXCOLUSE u ON u.INDSCHEMA = i.INDSCHEMA AND u.INDNAME = i.INDNAME
     WHERE ${filter.sql} AND u.COLORDER <> 'I' ORDER BY i.TABSCHEMA, i.TABNAME, i.INDSCHEMA, i.INDNAME, u.COLSEQ WITH CS`,
    filter.params,
    CATALOG_ROWS_MAX,
  );
  const found = new Map<string, { schema: string; table: string; columns: string[]; use: CatalogIndex['use'] }>();
  for (const [schema, name, rule, index, column] of rows) {
    const use = cellText(rule) === 'P' ? 'primary' : cellText(rule) === 'U' ? 'unique' : 'other';
    const entry = found.get(cellText(index)) ?? { schema: cellText(schema), table: cellText(name), columns: [], use };
    entry.columns.push(String(column));
    found.set(cellText(index), entry);
  }
  return [...found.values()];
}

const KINDS: Readonly<Record<string, 'table' | 'view' | 'other'>> = { T: 'table', V: 'view', S: 'table', N: 'other' };

/** A decimal duration, HHMMSS, in minutes. */
function offsetMinutes(duration: number): number {
  const hours = Math.trunc(duration / 10_000);
  return hours * 60 + (Math.trunc(duration / 100) % 100);
}

/**
 * Only units of work that have written can bring rows that a read does not see. One that is in doubt has no session and so no start:
 * it is known by its presence alone.
 */
const OPEN_UNITS_OF_WORK = `SELECT VARCHAR(MIN(UOW_START_TIME)), VARCHAR(CURRENT TIMESTAMP),
  (SELECT COALESCE(SUM(NUM_INDOUBT_TRANS), 0) FROM TABLE(MON_GET_TRANSACTION_LOG(-2)))
  FROM TABLE(MON_GET_UNIT_OF_WORK(NULL, -2))
  WHERE APPLICATION_HANDLE <> MON_GET_APPLICATION_HANDLE() AND (UOW_STOP_TIME IS NULL OR UOW_STOP_TIME < UOW_START_TIME)
  AND (UOW_LOG_SPACE_USED > 0 OR ROWS_MODIFIED > 0)`;

const NOT_TOLD: readonly string[] = ['source.privilege_missing', 'source.table_missing', 'source.query_failed'];

async function openTransactions(query: Query): Promise<OpenTransactions | null> {
  try {
    const [row] = await query(OPEN_UNITS_OF_WORK);
    const oldest = isoTimestamp(cellText(row?.[0]));
    return { oldest: oldest === '' ? null : oldest, at: isoTimestamp(cellText(row?.[1])), ids: Number(row?.[2]) > 0 ? ['in doubt'] : [] };
  } catch (error) {
    if (error instanceof TidemarkError && NOT_TOLD.includes(error.code)) return null;
    throw error;
  }
}

/** Members of a pureScale database have a log each, which can't be compared as one. */
const MARKS = `SELECT VARCHAR(MIN(CURRENT_LSO)), COUNT(*), (SELECT VARCHAR(MIN(DB_CONN_TIME)) FROM TABLE(MON_GET_DATABASE(-2))) FROM TABLE(MON_GET_TRANSACTION_LOG(-2))`;

/** A database is started anew whenever a first user connects: without the log that says nothing. */
async function serverMarks(query: Query): Promise<ServerMarks> {
  try {
    const [row] = await query(MARKS);
    const log = Number(row?.[1]) === 1 ? cellDigits(row?.[0]) : null;
    return { log, started: log === null ? null : cellText(row?.[2]) || null };
  } catch (error) {
    if (error instanceof TidemarkError && NOT_TOLD.includes(error.code)) return { log: null, started: null };
    throw error;
  }
}

async function counter(query: Query, table: TableName): Promise<string | null> {
  const filter = ofTable(table, 'TABSCHEMA', 'TABNAME');
  const [row] = await query(`SELECT VARCHAR(NEXTCACHEFIRSTVALUE) FROM SYSCAT.COLIDENTATTRIBUTES WHERE ${filter.sql} AND INCREMENT > 0 AND CYCLE = 'N' WITH CS`, filter.params, 1);
  return cellDigits(row?.[0]);
}

export const db2: Dialect = {
  product: 'Db2',
  readSuffix: ' FOR READ ONLY WITH CS',
  clockSql: 'VALUES VARCHAR(CURRENT TIMESTAMP)',
  valueRead,
  parameter,
  async session(query) {
    const [row] = await query(
      `SELECT SESSION_USER, CURRENT SCHEMA, CURRENT SERVER, INTEGER(CURRENT TIMEZONE), VARCHAR(CREATE_TIME) FROM SYSCAT.TABLES
       WHERE TABSCHEMA = 'SYSIBM' AND TABNAME = 'SYSTABLES' WITH CS`,
    );
    const [user, schema, server, zone, created] = row ?? [];
    return { user: cellText(user), schema: cellText(schema), identity: `db2:${cellText(server)}:${cellText(created)}`, offsetMinutes: offsetMinutes(Number(zone)) };
  },
  async tables(query, table) {
    const filter = ofTable(table, 't.TABSCHEMA', 't.TABNAME');
    const rows = await query(
      `SELECT RTRIM(t.TABSCHEMA), t.TABNAME, t.TYPE, VARCHAR(t.CREATE_TIME), t.CARD, t.FPAGES, s.PAGESIZE,
       (SELECT COUNT(*) FROM SYSCAT.DATAPARTITIONS p WHERE p.TABSCHEMA = t.TABSCHEMA AND p.TABNAME = t.TABNAME)
       FROM SYSCAT.TABLES t LEFT JOIN SYSCAT.TABLESPACES s ON s.TBSPACEID = t.TBSPACEID
       WHERE ${filter.sql} AND t.TYPE IN ('T', 'V', 'S', 'N') ORDER BY t.TABSCHEMA, t.TABNAME WITH CS`,
      filter.params,
      CATALOG_ROWS_MAX,
    );
    return rows.map(([schema, name, type, created, card, pages, pageSize, partitions]) => {
      const kind = KINDS[cellText(type)] ?? 'other';
      const bytes = cellNumber(pages) < 0 || cellNumber(pageSize) < 0 ? -1 : cellNumber(pages) * cellNumber(pageSize);
      return {
        schema: cellText(schema),
        name: String(name),
        kind: kind === 'table' && cellNumber(partitions) > 1 ? ('partitioned' as const) : kind,
        identity: kind === 'table' ? cellText(created) : '',
        rowEstimate: cellNumber(card),
        bytesEstimate: bytes,
      };
    });
  },
  columns,
  indexes,
  openTransactions,
  serverMarks,
  counter,
};

