import { findManifest, loadRegistry } from '../connectors/registry.ts';
import { MAIN_QUEUE } from '../control/schedules.ts';

/** The task queue of a kind's activities: of its own where its driver may block or crash a process. */
export async function queueOf(kind: string): Promise<string> {
  const manifest = await findManifest(kind);
  return manifest.capabilities.ownQueue ? `${MAIN_QUEUE}-${manifest.kind}` : MAIN_QUEUE;
}

/** All queues, for a worker that serves every source. */
export async function allQueues(): Promise<string[]> {
  const { manifests } = await loadRegistry();
  return [MAIN_QUEUE, ...manifests.filter((manifest) => manifest.capabilities.ownQueue).map((manifest) => `${MAIN_QUEUE}-${manifest.kind}`)];
}
