const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/** Whether the calendar has the day and the clock the time of `YYYY-MM-DD[ HH:MM:SS[.fraction]]`, in the years 1 to 9999. */
export function isOnCalendar(text: string): boolean {
  const match = /^(\d{4})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.\d+)?)?$/.exec(text);
  if (match === null) return false;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match.slice(1).map((part) => Number(part ?? '0'));
  const leap = month === 2 && (year % 400 === 0 || (year % 4 === 0 && year % 100 !== 0)) ? 1 : 0;
  return year > 0 && day > 0 && day <= (DAYS[month - 1] ?? 0) + leap && hour < 24 && minute < 60 && second < 60;
}
