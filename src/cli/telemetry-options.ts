import { InvalidArgumentError } from 'commander';
import type { AppInputs } from '../api/trpc/router.ts';
import { parseDuration } from '../lib/duration.ts';
import type { ClientOptions } from './context.ts';
import { UsageError } from './failure.ts';
import { selectorOf } from './target.ts';

/** What `viworks telemetry` is told, and how that is read. */

export interface TelemetryOptions extends ClientOptions {
  metric?: string[];
  since?: string;
  from?: string;
  to?: string;
  resolution?: 60 | 900 | 3600;
  samples?: boolean;
  follow?: boolean;
  limit?: number;
  site?: string;
  select?: string[];
  all?: boolean;
  bySite?: boolean;
}

type Filter = NonNullable<AppInputs['telemetry']['aggregate']['filter']>;

const hourMs = 3_600_000;

export function resolution(text: string): 60 | 900 | 3600 {
  const ms = parseDuration(text);
  const found = ([60, 900, 3600] as const).find((seconds) => seconds * 1000 === ms);
  if (found === undefined) throw new InvalidArgumentError('must be 1m, 15m or 1h');
  return found;
}

/** The range in milliseconds and as the server reads it. */
export function rangeOf({ since: ago, from, to }: TelemetryOptions) {
  const end = to === undefined ? Date.now() : Date.parse(to);
  const begin = Date.parse(ago ?? from ?? new Date(Math.max(0, end - hourMs)).toISOString());
  if (begin >= end) throw new UsageError('--to: must be later than the beginning');
  return {
    begin,
    end,
    input: { from: new Date(begin).toISOString(), to: new Date(end).toISOString() },
  };
}

export function filterOf({ site, select }: TelemetryOptions): Filter {
  if (site !== undefined) return { site };
  return select === undefined ? {} : selectorOf(select);
}
