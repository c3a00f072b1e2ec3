interface TypeParts {
  readonly base: string;
  readonly mods: readonly number[];
}

/** Splits `numeric(12,2)` or `timestamp(3) without time zone` as `format_type` prints them. */
function partsOf(type: string): TypeParts {
  const match = /^([^(]+?)(?:\(([\d,-]+)\))?( with(?:out)? time zone)?$/.exec(type);
  if (!match) return { base: type, mods: [] };
  return { base: `${match[1]!.trim()}${match[3] ?? ''}`, mods: match[2]?.split(',').map(Number) ?? [] };
}

const INTEGER_DIGITS: Record<string, number> = { smallint: 5, integer: 10, bigint: 19 };
const TIME_TYPES = ['timestamp without time zone', 'timestamp with time zone', 'time without time zone', 'time with time zone'];
/** Precision that a time type without a modifier has. */
const TIME_DIGITS = 6;

/** True if every value of `from` arrives in a column of type `to` exactly as it left. Both as `format_type` prints them. */
export function fitsLosslessly(from: string, to: string): boolean {
  if (from === to) return true;
  const a = partsOf(from);
  const b = partsOf(to);
  if (b.base === 'text') return a.base !== 'character';
  if (b.base === 'numeric' && a.base in INTEGER_DIGITS) return b.mods.length === 0 || b.mods[0]! - (b.mods[1] ?? 0) >= INTEGER_DIGITS[a.base]!;
  if (a.base in INTEGER_DIGITS && b.base in INTEGER_DIGITS) return INTEGER_DIGITS[b.base]! >= INTEGER_DIGITS[a.base]!;
  if (a.base !== b.base) return a.base === 'real' && b.base === 'double precision';
  if (a.base === 'numeric') return fitsNumeric(a, b);
  if (a.base === 'character varying' || a.base === 'bit varying') return b.mods.length === 0 || (a.mods.length > 0 && b.mods[0]! >= a.mods[0]!);
  if (TIME_TYPES.includes(a.base)) return (b.mods[0] ?? TIME_DIGITS) >= (a.mods[0] ?? TIME_DIGITS);
  return false;
}

function fitsNumeric(from: TypeParts, to: TypeParts): boolean {
  // A wider declared scale would change what is stored (1.10 becomes 1.100), which is another text of the same number: allowed.
  if (to.mods.length === 0) return true;
  if (from.mods.length === 0) return false;
  const scale = (parts: TypeParts) => parts.mods[1] ?? 0;
  return scale(to) >= scale(from) && to.mods[0]! - scale(to) >= from.mods[0]! - scale(from);
}
