import { InvalidArgumentError } from 'commander';
import { parseDuration } from '../lib/duration.ts';

/** How the values of options are read. */

export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}

/** For options that take a duration; the value is in milliseconds. */
export function duration(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new InvalidArgumentError('must be a duration such as 500ms, 30s, 5m or 1h');
  return ms;
}

/** For options that take a number within bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`must be a whole number from ${minimum} to ${maximum}`);
    }
    return value;
  };
}

/** For options that take a moment: a time, or how long ago it was. The value is a time in ISO 8601, UTC. */
export function moment(text: string): string {
  const ago = parseDuration(text);
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago;
  if (Number.isNaN(time) || (ago === undefined && !/^\d{4}-\d{2}-\d{2}/.test(text))) {
    throw new InvalidArgumentError(
      'must be how long ago, such as 24h, or a time such as 2026-01-31T08:00:00Z',
    );
  }
  return new Date(time).toISOString();
}
