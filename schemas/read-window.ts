/** Read windows: hours of a day in which a source may be read, as the clocks of its time zone show them. */
import { Cron } from 'croner';

/** `HH:MM-HH:MM`, may span midnight; the end is not within. `timeZone` is an IANA name. */
export interface ReadWindow {
  readonly hours: string;
  readonly timeZone: string;
}

/** When the window opens next; null where it is open at `now`. */
export function nextOpening(window: ReadWindow, now: Date): Date | null {
  const [from = '', to = ''] = window.hours.split('-');
  const clock = clockOf(now, window.timeZone);
  const open = from < to ? clock >= from && clock < to : clock >= from || clock < to;
  if (open) return null;
  const [hour = '0', minute = '0'] = from.split(':');
  return new Cron(`${Number(minute)} ${Number(hour)} * * *`, { paused: true, timezone: window.timeZone }).nextRun(now);
}

/** `HH:MM` on a clock of the time zone. */
function clockOf(now: Date, timeZone: string): string {
  return new Intl.DateTimeFormat('en-GB', { timeZone, hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(now);
}
