export { syncSource } from './sync-source.ts';
export { syncStream } from './sync-stream.ts';
