/**
 * The task queue of bulk copies beside a queue: parts of builds and slices of backfills, which may take minutes. A worker takes of them what it has time
 * for, and they never hold a place that a live sync needs. Workers of a queue serve its bulk queue too.
 */
export function bulkQueue(queue: string): string {
  return `${queue}/bulk`;
}
