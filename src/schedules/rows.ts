import { ViworksError } from '../errors.ts';
import type { ScheduleRow } from '../storage/schedules.ts';
import type { Action, Schedule, Timing } from './types.ts';

/** A schedule as the rest of the service sees it. */
export function scheduleOf(row: ScheduleRow): Schedule {
  const { nextAt, lastAt, lastCommandId, lastError, timing, action, scope, binding: _, ...rest } = row;
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

/** All of a schedule that decides what it submits, when, and in whose name; bound as it is stored. */
export const boundValues = (
  schedule: Pick<ScheduleRow, 'name' | 'timing' | 'action' | 'actor' | 'enabled' | 'revision'> & {
    scope: unknown;
  },
) => {
  const { name, timing, action, actor, scope, enabled, revision } = schedule;
  return { name, timing, action, actor, scope, enabled, revision };
};

export const notAuthentic = (name: string) =>
  new ViworksError(
    'not_authentic',
    `The schedule ${name} was not saved here, or altered since: it is not run. Delete it and make it anew.`,
  );
