import type { ScheduleRow } from '../storage/schedules.ts';
import type { Action, Schedule, Timing } from './types.ts';

/** A schedule as the rest of the service sees it. */
export function scheduleOf(row: ScheduleRow): Schedule {
  const { nextAt, lastAt, lastCommandId, lastError, timing, action, scope, ...rest } = row;
  return {
    ...rest,
    timing: timing as Timing,
    action: action as Action,
    scope: scope ?? undefined,
    nextAt: nextAt ?? undefined,
    lastAt: lastAt ?? undefined,
    lastCommandId: lastCommandId ?? undefined,
    lastError: lastError ?? undefined,
  };
}
