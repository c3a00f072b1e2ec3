/** From so many rows on it is worth a second session at the source: below that what each part costs beside its rows weighs more than what two gain. */
const SPLIT_FROM_ROWS = 400_000;

/**
 * How many rows each part of a full build takes. Parts are copied two at a time, so a table is cut into pairs of equal parts: none is left to be
 * copied alone at the end. `rowEstimate`: of the whole table, as its server tells.
 */
export function partRows(rowEstimate: number, rowsMax: number): number {
  if (rowEstimate < SPLIT_FROM_ROWS) return rowsMax;
  const pairs = Math.ceil(rowEstimate / (2 * rowsMax));
  return Math.ceil(rowEstimate / (2 * pairs));
}
