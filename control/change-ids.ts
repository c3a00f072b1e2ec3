import { createHash } from 'node:crypto';
import type { Change } from './planned-change.ts';

/**
 * An id for each change: `c` and eight digits of a hash of what is changed, so that an id that was approved never means another change when the
 * file or a table has changed in between. Changes that say the same take turns by their order.
 */
export function changeIds(changes: readonly Change[]): string[] {
  const taken = new Set<string>();
  return changes.map(({ action, object, identity, detail }) => {
    for (let turn = 0; ; turn++) {
      const hash = createHash('sha256').update([action, object, identity ?? detail, turn].join('\n')).digest();
      const id = `c${String(hash.readUIntBE(0, 6) % 100_000_000).padStart(8, '0')}`;
      if (taken.has(id)) continue;
      taken.add(id);
      return id;
    }
  });
}
