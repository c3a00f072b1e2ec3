import type { Transform } from 'node:stream';
import type { RowRead } from '../../connectors/connector.ts';
import { TidemarkError } from '../../schemas/errors.ts';
import type { MaskKeys } from './mask-key.ts';
import { MaskBinaryRows } from './mask-binary-rows.ts';
import { MaskRows } from './mask-rows.ts';
import { mayMaskBinary, NO_MASKS, type MaskPlan } from './masked-columns.ts';

/** What a read passes through on its way to the destination; null where no column is masked. */
export function maskOf(plan: { readonly source: string; readonly stream: string; readonly columns: readonly unknown[]; readonly masks?: MaskPlan }, read: RowRead, keys: MaskKeys): Transform | null {
  const masks = plan.masks ?? NO_MASKS;
  if (masks.columns.length === 0) return null;
  const rows = { source: plan.source, stream: plan.stream, masks, columns: plan.columns.length, marksRejects: read.marksRejects };
  if (read.format === 'copy-text') return new MaskRows(rows, keys);
  if (!mayMaskBinary(masks) || read.marksRejects) throw new TidemarkError('internal.unexpected', `Rows of ${plan.stream} came in a format in which they can't be masked; nothing of them was written.`);
  return new MaskBinaryRows(rows, keys);
}

/**
 * Tells the masks of two builds apart. A target that was built under other masks is built anew: its rows may show what is to be hidden now. So is one
 * whose masked key columns were made with another key, since none of its rows would be found again; other columns keep their values, with
 * the id of the key that made them, until their row changes.
 */
export function maskFingerprint(plan: { readonly masks?: MaskPlan }, keys: MaskKeys): string {
  const masks = plan.masks ?? NO_MASKS;
  if (masks.columns.length === 0 && masks.dropped.length === 0) return '';
  const columns = masks.columns.map(({ index, name, mask }) => [name, mask, 'key' in mask && masks.keyAt.includes(index) ? keys.get(mask.key)?.id : null]);
  return JSON.stringify([columns, [...masks.dropped].sort()]);
}
