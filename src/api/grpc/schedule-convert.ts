import type { JsonObject, MessageInitShape } from '@bufbuild/protobuf';
import { durationFromMs, durationMs, timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import {
  MissedRuns,
  Overlap,
  type ScheduleAction,
  type ScheduleActionSchema,
  type ScheduleSchema,
  type ScheduleTiming,
  type ScheduleTimingSchema,
} from '#gen/viworks/control/v1/schedule_pb.js';
import { defined } from '../../lib/defined.ts';
import type { Action, Schedule, Timing } from '../../schedules/types.ts';
import { targetMessage } from './convert.ts';
import { inverse } from './enums.ts';
import { readTarget } from './submit.ts';
import { draftField, draftMessage, readDraft } from './template-convert.ts';

/** Between the schedules of the core and those of viworks.control.v1. What is read is checked by its schema. */

const missedMessage: Record<Timing['missed'], MissedRuns> = { skip: MissedRuns.SKIP, once: MissedRuns.ONCE };
const overlapMessage: Record<Timing['overlap'], Overlap> = { allow: Overlap.ALLOW, skip: Overlap.SKIP };
const missedOf = inverse(missedMessage);
const overlapOf = inverse(overlapMessage);

export function scheduleMessage(schedule: Schedule): MessageInitShape<typeof ScheduleSchema> {
  const { timing, action, nextAt, lastAt, createdAt, updatedAt, lastCommandId, lastError, ...rest } =
    schedule;
  return {
    ...rest,
    timing: timingMessage(timing),
    action: actionMessage(action),
    lastCommandId: lastCommandId ?? '',
    lastError: lastError ?? '',
    createdAt: timestampFromDate(createdAt),
    updatedAt: timestampFromDate(updatedAt),
    ...(nextAt && { nextAt: timestampFromDate(nextAt) }),
    ...(lastAt && { lastAt: timestampFromDate(lastAt) }),
  };
}

function timingMessage(timing: Timing): MessageInitShape<typeof ScheduleTimingSchema> {
  return {
    when:
      'at' in timing
        ? { case: 'at', value: timestampFromDate(new Date(timing.at)) }
        : { case: 'cron', value: { expression: timing.cron, timeZone: timing.timeZone } },
    missed: missedMessage[timing.missed],
    catchUpWithin: durationFromMs(timing.catchUpWithinMs),
    overlap: overlapMessage[timing.overlap],
  };
}

function actionMessage(action: Action): MessageInitShape<typeof ScheduleActionSchema> {
  if ('command' in action) return { action: { case: 'command', value: draftMessage(action.command) } };
  const { name, params, target } = action.template;
  const value = { name, params: params as JsonObject, ...(target && { target: targetMessage(target) }) };
  return { action: { case: 'template', value } };
}

/** Undefined where it is unset. */
export function readTiming(message: ScheduleTiming | undefined) {
  if (message === undefined) return undefined;
  const { when, missed, catchUpWithin, overlap } = message;
  return {
    ...readWhen(when),
    ...defined({
      missed: missedOf(missed),
      catchUpWithinMs: catchUpWithin && Math.ceil(durationMs(catchUpWithin)),
      overlap: overlapOf(overlap),
    }),
  };
}

function readWhen(when: ScheduleTiming['when']) {
  if (when.case === 'at') {
    const at = timestampDate(when.value);
    return { at: Number.isNaN(at.getTime()) ? '' : at.toISOString() };
  }
  if (when.case !== 'cron') return {};
  const { expression, timeZone } = when.value;
  return { cron: expression, ...(timeZone === '' ? {} : { timeZone }) };
}

/** Undefined where it is unset. */
export function readAction(message: ScheduleAction | undefined) {
  const action = message?.action;
  if (action?.case === 'command') return { command: readDraft(action.value) };
  if (action?.case !== 'template') return undefined;
  const { name, params, target } = action.value;
  return { template: defined({ name, params: params ?? {}, target: readTarget(target) }) };
}

const timingNames: Readonly<Record<string, string>> = {
  'timing.cron': 'timing.cron.expression',
  'timing.timeZone': 'timing.cron.time_zone',
  'timing.catchUpWithinMs': 'timing.catch_up_within',
};

/** A field of a schedule as the requests name it. */
export const scheduleField = (field: string): string =>
  field.startsWith('action.command.') ? draftField('action.command', field) : (timingNames[field] ?? field);
