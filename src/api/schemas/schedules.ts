import { z } from 'zod';
import { missedPolicies, overlapPolicies, type Schedule } from '../../schedules/types.ts';
import { countSchema, nextPageToken, optionalTimeView, pageInput, timeSchema, timeView } from './common.ts';
import { targetInput, targetSchema, targetView } from './targets.ts';
import {
  descriptionSchema,
  draftInput,
  draftSchema,
  draftView,
  nameSchema,
  paramsSchema,
  revisionSchema,
} from './templates.ts';
import { scopeSchema, scopeView } from './tokens.ts';

/** Schedules: when something is submitted, and what. */

const dayMs = 24 * 3_600_000;

const policy = {
  /** What becomes of missed runs: nothing, or one for the last of them. Absent: skip. */
  missed: z.enum(missedPolicies).optional(),
  /** How late a missed run may be made up for. Absent: one hour. */
  catchUpWithinMs: z
    .int()
    .min(1000)
    .max(30 * dayMs)
    .optional(),
  /** What becomes of a run while the command before has not ended. Absent: allow. */
  overlap: z.enum(overlapPolicies).optional(),
};

const timingInput = z.union(
  [
    z.strictObject({
      /** Once, at this time; with Z or an offset. */
      at: z.iso
        .datetime({ offset: true, error: 'must be a time such as 2030-01-31T03:00:00Z' })
        .transform((text) => new Date(text).toISOString()),
      ...policy,
    }),
    z.strictObject({
      /** Minute, hour, day of the month, month, day of the week; with six fields the first is the second. */
      cron: z.string().min(1).max(256),
      /** A name of the IANA time zone database. Absent: UTC. */
      timeZone: z.string().min(1).max(64).optional(),
      ...policy,
    }),
  ],
  { error: 'must be {at: …} or {cron: …, timeZone: …}' },
);

const actionInput = z.union(
  [
    z.strictObject({ command: draftInput }),
    z.strictObject({
      template: z.strictObject({
        name: nameSchema,
        params: paramsSchema.default({}),
        /** In place of the template's own. */
        target: targetInput.optional(),
      }),
    }),
  ],
  { error: 'must be {command: {…}} or {template: {…}}' },
);

const kept = {
  missed: z.enum(missedPolicies),
  catchUpWithinMs: countSchema,
  overlap: z.enum(overlapPolicies),
};

const scheduleSchema = z.strictObject({
  name: z.string(),
  description: z.string(),
  timing: z.union([
    z.strictObject({ at: timeSchema, ...kept }),
    z.strictObject({ cron: z.string(), timeZone: z.string(), ...kept }),
  ]),
  action: z.union([
    z.strictObject({ command: draftSchema }),
    z.strictObject({
      template: z.strictObject({
        name: z.string(),
        params: paramsSchema,
        target: targetSchema.optional(),
      }),
    }),
  ]),
  /** Not paused. */
  enabled: z.boolean(),
  /** In whose name it submits: who created or updated it last. */
  actor: z.string(),
  /** What its commands are limited to; absent: nothing. */
  scope: scopeSchema.optional(),
  /** Grows with each change that a person makes. */
  revision: countSchema,
  /** Absent when nothing is to come. */
  nextAt: timeSchema.optional(),
  /** The time of the last run, whatever came of it. */
  lastAt: timeSchema.optional(),
  /** The last command that it submitted. */
  lastCommandId: z.string().optional(),
  /** Why the last run submitted nothing, or which runs before it were missed. */
  lastError: z.string().optional(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
});
export type ScheduleView = z.output<typeof scheduleSchema>;

export function scheduleView(schedule: Schedule): ScheduleView {
  const { action, scope, nextAt, lastAt, createdAt, updatedAt, ...rest } = schedule;
  return {
    ...rest,
    action: actionView(action),
    scope: scope && scopeView(scope),
    nextAt: optionalTimeView(nextAt),
    lastAt: optionalTimeView(lastAt),
    createdAt: timeView(createdAt),
    updatedAt: timeView(updatedAt),
  };
}

function actionView(action: Schedule['action']): ScheduleView['action'] {
  if ('command' in action) return { command: draftView(action.command) };
  const { name, params, target } = action.template;
  return {
    template: {
      name,
      params: structuredClone(params) as z.output<typeof paramsSchema>,
      ...(target && { target: targetView(target) }),
    },
  };
}

export const listSchedulesInput = z.strictObject(pageInput).prefault({});
export const listSchedulesOutput = z.strictObject({ schedules: z.array(scheduleSchema), nextPageToken });
export const scheduleOutput = z.strictObject({ schedule: scheduleSchema });
export const getScheduleInput = z.strictObject({ name: nameSchema });
export const createScheduleInput = z.strictObject({
  name: nameSchema,
  description: descriptionSchema.default(''),
  timing: timingInput,
  action: actionInput,
  /** It begins when somebody resumes it. */
  paused: z.boolean().default(false),
});
/** What is absent stays as it is. */
export const updateScheduleInput = z.strictObject({
  name: nameSchema,
  /** That it must have. */
  revision: revisionSchema,
  description: descriptionSchema.optional(),
  timing: timingInput.optional(),
  action: actionInput.optional(),
});
export const deleteScheduleInput = z.strictObject({
  name: nameSchema,
  /** That it must have. */
  revision: revisionSchema.optional(),
});
export const pauseScheduleInput = z.strictObject({ name: nameSchema });
export const runScheduleInput = z.strictObject({
  name: nameSchema,
  /** The same key gives the first answer again. */
  idempotencyKey: z.string().min(1).max(128).optional(),
});

const count = z.int().min(1).max(1000).default(10);
export const nextInput = z.union(
  [z.strictObject({ name: nameSchema, count }), z.strictObject({ timing: timingInput, count })],
  { error: 'must have a name or a timing' },
);
export const nextOutput = z.strictObject({ occurrences: z.array(timeSchema) });
