import { isOnCalendar } from '../../connectors/calendar.ts';

test.each(['2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31 23:59:59.999999', '2026-01-31 00:00:00'])('%s is on the calendar', (text) => expect(isOnCalendar(text)).toBe(true));

test.each(['2023-02-29', '1900-02-29', '2024-13-01', '2024-00-10', '2024-04-31', '2024-01-00', '0000-01-01', '2024-01-01 24:00:00', '2024-01-01 23:60:00', '2024-1-1', 'now', ''])('%s is not', (text) => expect(isOnCalendar(text)).toBe(false));
