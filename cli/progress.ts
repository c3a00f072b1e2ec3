/** What a run does while a person waits for it, on stderr. */
import type { Destination, StreamProgress } from '../control/run-progress.ts';
import type { StartedSync } from '../control/sync.ts';
import type { Output, Sink } from './output.ts';
import { safeLine } from './terminal-text.ts';

/** On a terminal the display is drawn again this often; a pipe is told of a stream's end within the longer time. */
const REDRAW_MS = 300;
const LOOK_MS = 1_000;
/** Lines of the display where the terminal does not say how high it is. */
const LINES_MAX = 20;

/** stderr as a display needs it. */
export type Screen = Sink & { readonly rows?: number };

/** Where progress goes: a display that is cleared at the end, or lines that stay. */
interface Display {
  readonly everyMs: number;
  show(streams: readonly StreamProgress[]): Promise<void>;
  clear(): void;
}

/**
 * Shows what the runs commit, and what is being copied, on stderr: on a terminal a display that is redrawn a few times per second and cleared at
 * the end, in a pipe a line when a stream ends, with `--json` nothing. Returns what ends it, which may be called again. A destination that
 * does not answer costs the display, never the sync.
 */
export function followSync(output: Output, destination: Destination, started: readonly StartedSync[], screen: Screen = process.stderr): () => Promise<void> {
  if (output.json) return async () => undefined;
  const runIds = started.map((each) => each.runId);
  const stopped = new AbortController();
  const following = follow(output, destination, runIds, screen, stopped.signal).catch(() => undefined);
  return async () => {
    stopped.abort();
    await following;
  };
}

async function follow(output: Output, destination: Destination, runIds: readonly string[], screen: Screen, stopped: AbortSignal): Promise<void> {
  const { readProgress } = await import('../control/run-progress.ts');
  const { setTimeout: sleep } = await import('node:timers/promises');
  const display = screen.isTTY === true ? await liveDisplay(screen) : plainLines(output);
  const look = async () => {
    const streams = await readProgress(destination, runIds).catch(() => null);
    if (streams !== null) await display.show(streams);
  };
  try {
    while (!stopped.aborted) {
      await look();
      await sleep(display.everyMs, undefined, { signal: stopped }).catch(() => undefined);
    }
    if (screen.isTTY !== true) await look();
  } finally {
    display.clear();
  }
}

async function liveDisplay(screen: Screen): Promise<Display> {
  const { createLogUpdate } = await import('log-update');
  const draw = createLogUpdate(screen, { showCursor: true });
  return {
    everyMs: REDRAW_MS,
    async show(streams) {
      draw(progressLines(streams, Math.max(3, (screen.rows || LINES_MAX) - 2)).join('\n'));
    },
    clear: () => draw.clear(),
  };
}

function plainLines(output: Output): Display {
  const told = new Set<string>();
  return {
    everyMs: LOOK_MS,
    async show(streams) {
      for (const stream of streams) {
        const name = JSON.stringify([stream.source, stream.stream]);
        if (stream.status === 'running' || told.has(name)) continue;
        told.add(name);
        await output.note(endLine(stream));
      }
    },
    clear: () => undefined,
  };
}

/** What a pipe gets when a stream has ended. */
export function endLine(stream: StreamProgress): string {
  const counts = `${grouped(stream.read)} rows read, ${grouped(stream.written)} written, ${stream.seconds.toFixed(1)} s`;
  return `${safeLine(stream.source)} ${safeLine(stream.stream)}: ${stream.status}, ${counts}${stream.error === null ? '' : ` (${stream.error.code})`}`;
}

/** The display: running streams first, at most `linesMax` lines, a summary last. */
export function progressLines(streams: readonly StreamProgress[], linesMax: number): string[] {
  const ended = streams.filter((each) => each.status !== 'running');
  const running = streams.filter((each) => each.status === 'running');
  const shown = [...running, ...ended.toReversed()].slice(0, linesMax - 1);
  const names = shown.map((each) => `${safeLine(each.source)} ${safeLine(each.stream)}`);
  const width = Math.max(0, ...names.map((name) => name.length));
  const lines = shown.map((each, index) => `${names[index]!.padEnd(width)}  ${each.status === 'running' ? runningText(each) : endText(each)}`);
  const more = streams.length - shown.length;
  return [...lines, streams.length === 0 ? 'waiting for the run to begin' : `${running.length} running, ${ended.length} ended${more > 0 ? `, ${more} not shown` : ''}`];
}

function runningText({ read, copying, seconds }: StreamProgress): string {
  const rows = read + copying;
  if (rows === 0) return `copying, ${seconds.toFixed(0)} s`;
  return `running, ${grouped(rows)} rows, ${grouped(Math.round(rows / Math.max(seconds, 0.1)))} rows/s, ${seconds.toFixed(0)} s`;
}

function endText({ status, read, seconds, error }: StreamProgress): string {
  return `${status}, ${grouped(read)} rows, ${seconds.toFixed(1)} s${error === null ? '' : `, ${error.code}`}`;
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
