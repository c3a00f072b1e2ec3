import { findManifest, loadRegistry } from '../connectors/registry.ts';

/** Workflows, and activities of sources whose driver needs no queue of its own. */
export const MAIN_QUEUE = 'tidemark';

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
