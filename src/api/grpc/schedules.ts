import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { z } from 'zod';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { defined } from '../../lib/defined.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { createScheduleInput, nextInput, updateScheduleInput } from '../schemas/schedules.ts';
import { commandMessage, pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';
import { readAction, readTiming, scheduleField, scheduleMessage } from './schedule-convert.ts';
import { withFieldsNamed } from './submit.ts';

/** The methods of ControlService for schedules. */
export function scheduleMethods({ unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listSchedules: unary(method.listSchedules, async (request, { core }) => {
      const page = await core.schedules.list(pageRequest(request));
      return { schedules: page.items.map(scheduleMessage), nextPageToken: page.nextToken ?? '' };
    }),

    getSchedule: unary(method.getSchedule, async ({ name }, { core }) => {
      return { schedule: scheduleMessage(await core.schedules.get(name)) };
    }),

    createSchedule: unary(method.createSchedule, async (request, { actor, core }) => {
      const { name, description, paused } = request;
      const timing = readTiming(request.timing);
      const action = readAction(request.action);
      return named(async () => {
        const input = parse(createScheduleInput, { name, description, timing, action, paused });
        return { schedule: scheduleMessage(await core.schedules.create(actor.subject, input)) };
      });
    }),

    updateSchedule: unary(method.updateSchedule, async (request, { actor, core }) => {
      const timing = readTiming(request.timing);
      const action = readAction(request.action);
      const given = defined({ description: request.description, timing, action });
      return named(async () => {
        const input = parse(updateScheduleInput, {
          ...given,
          name: request.name,
          revision: request.revision,
        });
        const { name, revision, ...change } = input;
        const schedule = await core.schedules.update(actor.subject, name, revision, change);
        return { schedule: scheduleMessage(schedule) };
      });
    }),

    deleteSchedule: unary(method.deleteSchedule, async ({ name, revision }, { core }) => {
      await core.schedules.delete(name, revision || undefined);
      return {};
    }),

    pauseSchedule: unary(method.pauseSchedule, async ({ name }, { core }) => {
      return { schedule: scheduleMessage(await core.schedules.pause(name)) };
    }),

    resumeSchedule: unary(method.resumeSchedule, async ({ name }, { core }) => {
      return { schedule: scheduleMessage(await core.schedules.resume(name)) };
    }),

    runSchedule: unary(method.runSchedule, async ({ name, idempotencyKey }, { actor, core }) => {
      const options = { idempotencyKey: idempotencyKey || undefined };
      return { command: commandMessage(await core.schedules.run(actor.subject, name, options)) };
    }),

    nextOccurrences: unary(method.nextOccurrences, async ({ of, count }, { core }) => {
      return named(async () => {
        const what = of.case === 'timing' ? { timing: readTiming(of.value) } : { name: of.value };
        const input = parse(nextInput, { ...what, ...(count === 0 ? {} : { count }) });
        const times = await core.schedules.next(input, input.count);
        return { occurrences: times.map(timestampFromDate) };
      });
    }),
  };
}

/** @throws invalid_request */
function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (!parsed.success) throw invalidRequest(parsed.error);
  return parsed.data;
}

/** Fields that are wrong are named as in the request. */
async function named<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw withFieldsNamed(thrown, scheduleField);
  }
}
