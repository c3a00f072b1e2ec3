export { reconcileSource } from './reconcile-source.ts';
export { reconcileStream } from './reconcile-stream.ts';
export { backfillStream } from './backfill-stream.ts';
export { syncSource } from './sync-source.ts';
export { syncStream } from './sync-stream.ts';
