import { invalidField } from '../errors.ts';
import { occurrencesOf } from './occurrences.ts';
import type { Timing, TimingInput } from './types.ts';

const hourMs = 3_600_000;
/** The end of the year 9999, the last of ISO 8601 with four digits. */
const latestMs = 253_402_300_799_999;

/**
 * A complete timing that has something to come.
 * @throws invalid_request that names the field
 */
export function checkTiming(input: TimingInput, now: number): Timing {
  const policy = {
    missed: input.missed ?? 'skip',
    catchUpWithinMs: input.catchUpWithinMs ?? hourMs,
    overlap: input.overlap ?? 'allow',
  };
  if ('at' in input) {
    const at = Date.parse(input.at);
    if (Number.isNaN(at)) throw invalidField('timing.at', 'must be a time such as 2030-01-31T03:00:00Z');
    if (at <= now) throw invalidField('timing.at', 'must be in the future');
    if (at > latestMs) throw invalidField('timing.at', 'must be before the year 10000');
    return { at: new Date(at).toISOString(), ...policy };
  }
  const { timeZone = 'UTC' } = input;
  const cron = input.cron.trim().replaceAll(/\s+/g, ' ');
  const fields = cron.split(' ').length;
  if (fields !== 5 && fields !== 6) {
    throw invalidField(
      'timing.cron',
      `must have five fields (minute, hour, day of the month, month, day of the week) or six, with the second first; it has ${fields}`,
    );
  }
  if (cron.includes('?')) throw invalidField('timing.cron', 'must not have a ?; write *');
  if (!isZone(timeZone))
    throw invalidField('timing.timeZone', 'must be a name such as Europe/Berlin, America/New_York or UTC');
  const timing = { cron, timeZone, ...policy };
  if (firstOf(timing, now) === undefined) throw invalidField('timing.cron', 'names no time that ever comes');
  return timing;
}

function firstOf(timing: Timing, now: number): number | undefined {
  try {
    return occurrencesOf(timing).after(now);
  } catch (error) {
    const problem = error instanceof Error ? error.message.replace(/^CronPattern: /, '') : '';
    throw invalidField('timing.cron', `must be a cron expression such as "30 3 * * 1-5" (${problem})`);
  }
}

/** Offsets such as +02:00 are no zones here: they know of no changes. */
function isZone(timeZone: string): boolean {
  if (!/^[A-Za-z]/.test(timeZone)) return false;
  try {
    new Intl.DateTimeFormat('en-US', { timeZone });
    return true;
  } catch {
    return false;
  }
}
