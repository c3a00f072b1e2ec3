/** The type table: PostgreSQL to PostgreSQL is the same type with its modifiers, or text where the destination may lack it. */
import type { Column } from '../../schemas/table.ts';

/** What the catalog says of a column's type. */
export interface NativeType {
  /** `format_type(atttypid, atttypmod)`. */
  readonly formatted: string;
  /** Bare name in its schema: `int8`, `_text`, `citext`. */
  readonly name: string;
  /** True for types of `pg_catalog`, of which every server has the same. */
  readonly builtIn: boolean;
  /** `pg_type.typtype`: base, composite, domain, enum, pseudo, range, multirange. */
  readonly kind: string;
  /** Type of the elements of an array, else null. */
  readonly element: string | null;
  /** Name of the base type under all domains; the type itself where it is none. */
  readonly base: string;
}

/** Built-in types whose values name objects of one server or that have no input function. */
const SERVER_BOUND = new Set([
  'aclitem', 'regclass', 'regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator',
  'regproc', 'regprocedure', 'regrole', 'regtype', 'pg_node_tree', 'pg_ndistinct', 'pg_dependencies', 'pg_mcv_list',
  'pg_brin_bloom_summary', 'pg_brin_minmax_multi_summary', 'gtsvector', 'pg_ddl_command',
]);

const KIND_WORDS: Readonly<Record<string, string>> = { c: 'composite', d: 'domain', e: 'enum', r: 'range', m: 'multirange', p: 'pseudo-type', b: 'type of an extension' };

const ORDERS: Readonly<Record<string, Column['order']>> = {
  timestamptz: 'time', timestamp: 'time', date: 'time',
  int2: 'number', int4: 'number', int8: 'number', numeric: 'number', float4: 'number', float8: 'number', oid: 'number', xid8: 'number',
  text: 'text', varchar: 'text', bpchar: 'text', uuid: 'text',
};

/** The destination's type for a native one, and what `plan` says where its nature changes. */
export function targetType(type: NativeType): { pgType: string; note?: string } {
  if (passesThrough(type)) return { pgType: type.formatted };
  if (type.builtIn) return { pgType: 'text', note: `${type.formatted} kept as text: its values name objects of one server` };
  const word = type.element === null ? (KIND_WORDS[type.kind] ?? 'type') : 'array of a type of its own';
  return { pgType: 'text', note: `${word} ${type.formatted} kept as text` };
}

/** True where both servers have the type, so that COPY's binary format is the same on both. */
export function passesThrough(type: NativeType): boolean {
  return type.builtIn && 'brm'.includes(type.kind) && !SERVER_BOUND.has(type.name) && !(type.element !== null && SERVER_BOUND.has(type.element));
}

export function orderOf(type: NativeType): Column['order'] {
  return ORDERS[type.base] ?? 'none';
}
