import { Cron, CronPattern } from 'croner';
import type { When } from './types.ts';
import { createZone } from './zone.ts';

/**
 * The times at which a schedule runs, in milliseconds since 1970.
 *
 * Where clocks are changed, a cron expression that names its hours runs once for each time that it names: a time
 * in the hour that is left out runs at the first instant after the gap (several of them are one run), and in the
 * hour that comes twice it runs the first time. An expression with `*` for the hour goes by elapsed time: nothing
 * is added in the one case, and both hours count in the other.
 *
 * croner keeps that rule only for expressions with a single hour, minute and second; others it leaves out in the
 * gap, and runs twice. So croner matches wall times here, as if there were no changes, and the zone turns them
 * into instants.
 */
export interface Occurrences {
  /** The first one later than this. */
  after(instant: number): number | undefined;
}

const mode = '5-or-6-parts';

/** @throws Error that says what is wrong with the expression, RangeError for an unknown zone */
export function occurrencesOf(when: When): Occurrences {
  if ('at' in when) {
    const at = Date.parse(when.at);
    return { after: (instant) => (at > instant ? at : undefined) };
  }
  const zone = createZone(when.timeZone);
  const timezone = isEveryHour(when.cron) ? when.timeZone : 'UTC';
  const cron = new Cron(when.cron, { timezone, mode, paused: true });
  const next = (time: number) => cron.nextRun(new Date(Math.floor(time / 1000) * 1000))?.getTime();
  if (isEveryHour(when.cron)) return { after: next };
  return {
    after(instant) {
      for (let wall = next(zone.wallAt(instant)); wall !== undefined; wall = next(wall)) {
        const found = zone.instantOf(wall);
        if (found > instant) return found;
      }
      return undefined;
    },
  };
}

const isEveryHour = (cron: string): boolean =>
  new CronPattern(cron, 'UTC', { mode }).hour.every((runs) => runs === 1);

/**
 * The last occurrence up to an instant, where there is one after `from`. Looks at some dozens, however many there
 * are.
 */
export function latestUpTo({ after }: Occurrences, from: number, instant: number): number | undefined {
  let found = after(from);
  if (found === undefined || found > instant) return undefined;
  let [before, end] = [found, instant];
  // There is one in (before, instant], or `found` is the last: halve what is between.
  while (before < end) {
    const middle = Math.ceil((before + end) / 2);
    const next = after(middle - 1);
    if (next !== undefined && next <= instant) {
      found = next;
      before = next;
    } else {
      end = middle - 1;
    }
  }
  return found;
}

/** How many there are after `from` and up to an instant, counted up to a bound. */
export function countUpTo({ after }: Occurrences, from: number, instant: number, bound: number): number {
  let count = 0;
  let at = after(from);
  while (at !== undefined && at <= instant && count < bound) {
    count += 1;
    at = after(at);
  }
  return count;
}

/** The next so many. */
export function upcoming({ after }: Occurrences, from: number, count: number): number[] {
  const found: number[] = [];
  for (let at = after(from); at !== undefined && found.length < count; at = after(at)) found.push(at);
  return found;
}
