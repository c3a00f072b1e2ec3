export { reconcileSource } from './reconcile-source.ts';
export { reconcileStream } from './reconcile-stream.ts';
export { syncSource } from './sync-source.ts';
export { syncStream } from './sync-stream.ts';
