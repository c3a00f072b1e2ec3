import type { MaskPlan } from './masked-columns.ts';
import { lengthPrefixed, type ValueMask } from './value-masks.ts';

/**
 * Masks the values of a row that the connector refused: a JSON object by column name, each value as text or null. What can't be read as
 * such an object is replaced as a whole: nothing unseen passes. `masks` in the order of the plan's columns.
 */
export function maskRejected(json: string, plan: MaskPlan, masks: readonly ValueMask[]): string {
  const values = parsed(json);
  if (values === null) return '{}';
  for (const name of plan.dropped) delete values[name];
  const rowKey = lengthPrefixed([json]);
  for (const [at, column] of plan.columns.entries()) {
    for (const name of new Set([column.name, column.targetName])) {
      const value = values[name];
      if (value === undefined || value === null) continue;
      const bytes = Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
      values[name] = masks[at]!(bytes, 0, bytes.length, rowKey);
    }
  }
  return JSON.stringify(values);
}

function parsed(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.fromEntries(Object.entries(value)) : null;
  } catch {
    return null;
  }
}
