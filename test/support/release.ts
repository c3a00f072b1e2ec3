/**
 * What a test file acquired (processes, databases, connections) is released after its last test, in reverse order,
 * also if a test failed. A release that fails does not keep the others from running; the first failure is thrown at the end.
 */
type Release = () => Promise<void> | void;

const releases: Release[] = [];

/** Remembers what to do when the test file ends. */
export function onFileEnd(release: Release): void {
  releases.push(release);
}

export async function releaseAll(): Promise<void> {
  let failure: unknown;
  for (let release = releases.pop(); release !== undefined; release = releases.pop()) {
    try {
      await release();
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error('a release failed');
}
