/** The statements of a stream's reads, and how the reader turns their rows into COPY text. */
import { TidemarkError } from '../../schemas/errors.ts';
import type { Column } from '../../schemas/table.ts';
import type { StreamRead } from '../connector.ts';
import type { Dialect, ValueRead } from './dialect.ts';
import { quoteTable } from './names.ts';
import { compare, orderBy, where, type OrderedColumn } from './range.ts';
import type { ColumnSpec, ReadRequest, RestOfValue, Statement } from './reader-protocol.ts';
import { isConverted, mapType, parseType } from './types.ts';

/** Bytes of one block in the driver; two are under way at a time. */
const BLOCK_BYTES_MAX = 8 * 1024 * 1024;

/** A column of the stream's table. Throws `source.column_missing`. */
export function columnNamed(stream: StreamRead, name: string): Column {
  const found = stream.table.columns.find((column) => column.name === name);
  if (found !== undefined) return found;
  throw new TidemarkError('source.column_missing', `${stream.table.schema}.${stream.table.name} has no column ${name}.`, {
    hint: 'Check the table with tidemark discover, then apply again.',
  });
}

function valueRead(dialect: Dialect, stream: StreamRead, column: Column): ValueRead {
  const read = mapType(parseType(column.nativeType), stream.types) === null ? null : dialect.valueRead(column);
  if (read !== null) return read;
  throw new TidemarkError('source.type_unsupported', `Column ${column.name} of ${stream.table.schema}.${stream.table.name} has the type ${column.nativeType}, which cannot be read from ${dialect.product}.`, {
    hint: `Leave it out: columns: { exclude: [${column.name}] }.`,
  });
}

interface Selected {
  readonly list: string;
  readonly columns: readonly ColumnSpec[];
  readonly blockRows: number;
}

const BITS: readonly string[] = ['BINARY', 'VARBINARY', 'LONG VARBINARY', 'BLOB'];

function restOf(dialect: Dialect, stream: StreamRead, read: ValueRead, places: ReadonlyMap<string, number>): RestOfValue | null {
  const key = stream.key.map((name) => columnNamed(stream, name));
  const at = key.map(({ name }) => places.get(name));
  if (read.rest === null || key.length === 0 || at.includes(undefined)) return null;
  if (key.some(({ nativeType }) => BITS.includes(parseType(nativeType).base))) return null;
  const piece = read.rest.sql('CAST(CAST(? AS VARCHAR(12)) AS INTEGER)');
  const equal = key.map((column) => compare(dialect, column, '=', '').sql).join(' AND ');
  return {
    sql: `SELECT ${piece} FROM ${quoteTable(stream.table)} WHERE ${equal}${dialect.readSuffix}`,
    pieceLength: read.rest.pieceLength,
    key: at.filter((place) => place !== undefined),
  };
}

function selected(dialect: Dialect, stream: StreamRead): Selected {
  const columns = stream.columns.map((name) => columnNamed(stream, name));
  const reads = columns.map((column) => valueRead(dialect, stream, column));
  const expressions: string[] = [];
  const places = new Map<string, number>();
  const lengths = new Map<string, number>();
  reads.forEach((read, index) => {
    const name = columns[index]?.name ?? '';
    places.set(name, expressions.push(read.sql) - 1);
    if (read.lengthSql !== null) lengths.set(name, expressions.push(read.lengthSql) - 1);
  });
  const specs = columns.map((column, index) => {
    const read = reads[index] as ValueRead;
    return {
      name: column.name,
      kind: read.kind,
      at: places.get(column.name) ?? -1,
      lengthAt: lengths.get(column.name) ?? -1,
      converted: isConverted(column.nativeType),
      rest: restOf(dialect, stream, read, places),
    };
  });
  const width = reads.reduce((sum, read) => sum + read.width + (read.lengthSql === null ? 0 : 4), 0);
  const fitting = Math.max(2, Math.min(stream.fetchRows, Math.floor(BLOCK_BYTES_MAX / Math.max(1, width))));
  return { list: expressions.join(', '), columns: specs, blockRows: reads.some((read) => read.long) ? 1 : fitting };
}

/** Reads the stream's columns of the rows that meet each condition, one condition after another, ordered by `order`. */
export function readRequest(dialect: Dialect, stream: StreamRead, conditions: readonly Statement[], order: readonly OrderedColumn[], rowsMax?: number, marks = true): ReadRequest {
  const { list, columns, blockRows } = selected(dialect, stream);
  const limit = rowsMax === undefined ? '' : ` FETCH FIRST ${rowsMax} ROWS ONLY`;
  const statements = conditions.map((condition) => {
    const filter = where(condition);
    return { sql: `SELECT ${list} FROM ${quoteTable(stream.table)}${filter.sql}${orderBy(order)}${limit}${dialect.readSuffix}`, params: filter.params };
  });
  return { statements, columns, blockRows, marks };
}

/** The values of `columns`, as text that binds to the same values again, of the row at `offset` and `rows - 1` after it. */
export function keyProbe(dialect: Dialect, stream: StreamRead, columns: readonly OrderedColumn[], condition: Statement, offset: number, rows: number, direction: 'ASC' | 'DESC' = 'ASC'): Statement {
  const filter = where(condition);
  const list = columns.map(({ name }) => valueRead(dialect, stream, columnNamed(stream, name)).sql).join(', ');
  return {
    sql: `SELECT ${list} FROM ${quoteTable(stream.table)}${filter.sql}${orderBy(columns, direction)} OFFSET ${offset} ROWS FETCH NEXT ${rows} ROWS ONLY${dialect.readSuffix}`,
    params: filter.params,
  };
}
