import { findReadWindow } from '../destinations/postgres/catalog.ts';
import type { Engine } from '../pipeline/engine.ts';
import { TidemarkError } from '../schemas/errors.ts';
import { nextOpening, type ReadWindow } from '../schemas/read-window.ts';
import type { SourceSettings, StreamSettings } from '../schemas/settings.ts';

/** The window of a stream; null: it may be read at any hour. */
export function windowOf(stream: StreamSettings, source: SourceSettings): ReadWindow | null {
  if (stream.readWindow === null) return null;
  return { hours: stream.readWindow, timeZone: stream.schedule?.timeZone ?? source.schedule.timeZone };
}

/** Why the stream can't be read at this hour; null where it can. */
export function closedWindow(name: string, window: ReadWindow | null, now = new Date()): TidemarkError | null {
  const opening = window === null ? null : nextOpening(window, now);
  if (window === null || opening === null) return null;
  return new TidemarkError('source.outside_read_window', `${name} may be read only at ${window.hours} (${window.timeZone}).`, {
    hint: `It opens at ${opening.toISOString().slice(0, 16)}Z; a sync at that time goes on from the watermark. The setting is read_window.`,
  });
}

/** A batch that began within the hours is finished; the next one does not begin outside them. Throws `source.outside_read_window`. */
export async function requireOpenWindow(engine: Engine, ref: { readonly source: string; readonly stream: string }): Promise<void> {
  const window = await engine.destination.session('looking at the read window', (session) => findReadWindow(session, ref.source, ref.stream));
  const closed = closedWindow(ref.stream, window);
  if (closed !== null) throw closed;
}
