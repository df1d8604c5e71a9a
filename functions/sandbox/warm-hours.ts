/** How many warm sandboxes there are to be at a time: WARM_SANDBOXES, in the hours of WARM_HOURS if that is set. */
import { config } from '../service/config.ts';

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'];

export const wantedWarmSandboxes = (now = new Date()): number =>
  isWithin(config.warmHours, now) ? config.warmSandboxes : 0;

/** Hours of days of the week, in a time zone, from the one on and before the other; none: always. */
export interface WarmHours {
  days: readonly [first: string, last: string];
  hours: readonly [from: number, to: number];
  timeZone: string;
}

function isWithin(when: WarmHours | undefined, now: Date): boolean {
  if (!when) return true;
  const format = { weekday: 'short', hour: 'numeric', hourCycle: 'h23', timeZone: when.timeZone } as const;
  const parts = new Intl.DateTimeFormat('en', format).formatToParts(now);
  const part = (type: string) => parts.find((one) => one.type === type)?.value ?? '';
  const [first, last, day] = [...when.days, part('weekday')].map((name) => DAYS.indexOf(name)) as [
    number,
    number,
    number,
  ];
  // From Saturday to Monday is past the end of the week.
  const isDay = first <= last ? day >= first && day <= last : day >= first || day <= last;
  const hour = Number(part('hour'));
  return isDay && hour >= when.hours[0] && hour < when.hours[1];
}
