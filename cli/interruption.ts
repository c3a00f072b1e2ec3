/** Ctrl-C: the first one asks a command to end, the second ends the process. */

/** Longer than `up` and `worker` take to stop what they have started. */
const GRACE_MS = 15_000;

export interface Interruption {
  /** True once a signal has come. */
  readonly happened: boolean;
  /**
   * For commands that have something to end first. Who asks for it promises to return or throw soon after it aborts, and gets
   * {@link GRACE_MS}; a command that never asks ends at once.
   */
  signal(): AbortSignal;
  /** Settles never, unless the command has to be given up. */
  readonly givenUp: Promise<void>;
  release(): void;
}

export function watchInterruption(): Interruption {
  const controller = new AbortController();
  const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<void>();
  let awaited = false;
  let timer: NodeJS.Timeout | undefined;
  const interrupt = (): void => {
    if (!awaited || controller.signal.aborted) giveUp();
    else timer = setTimeout(giveUp, GRACE_MS);
    controller.abort();
  };
  process.on('SIGINT', interrupt);
  process.on('SIGTERM', interrupt);
  return {
    get happened() {
      return controller.signal.aborted;
    },
    signal() {
      awaited = true;
      return controller.signal;
    },
    givenUp,
    release() {
      clearTimeout(timer);
      process.off('SIGINT', interrupt);
      process.off('SIGTERM', interrupt);
    },
  };
}
