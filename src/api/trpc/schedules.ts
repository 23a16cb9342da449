import { commandOutput, commandView } from '../schemas/commands.ts';
import { pageRequest, timeView } from '../schemas/common.ts';
import {
  createScheduleInput,
  deleteScheduleInput,
  getScheduleInput,
  listSchedulesInput,
  listSchedulesOutput,
  nextInput,
  nextOutput,
  pauseScheduleInput,
  runScheduleInput,
  scheduleOutput,
  scheduleView,
  updateScheduleInput,
} from '../schemas/schedules.ts';
import { deleteOutput } from '../schemas/templates.ts';
import { procedure, router } from './trpc.ts';

/** Commands that are submitted at their times. */
export function schedulesRouter() {
  return router({
    list: procedure
      .input(listSchedulesInput)
      .output(listSchedulesOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.schedules.list(pageRequest(input));
        return { schedules: page.items.map(scheduleView), nextPageToken: page.nextToken };
      }),

    get: procedure
      .input(getScheduleInput)
      .output(scheduleOutput)
      .query(async ({ ctx, input }) => ({
        schedule: scheduleView(await ctx.core.schedules.get(input.name)),
      })),

    create: procedure
      .input(createScheduleInput)
      .output(scheduleOutput)
      .mutation(async ({ ctx, input }) => {
        return { schedule: scheduleView(await ctx.core.schedules.create(ctx.actor.subject, input)) };
      }),

    /** It begins anew from now on, in the name of the caller. */
    update: procedure
      .input(updateScheduleInput)
      .output(scheduleOutput)
      .mutation(async ({ ctx, input: { name, revision, ...change } }) => {
        return {
          schedule: scheduleView(await ctx.core.schedules.update(ctx.actor.subject, name, revision, change)),
        };
      }),

    delete: procedure
      .input(deleteScheduleInput)
      .output(deleteOutput)
      .mutation(async ({ ctx, input }) => {
        await ctx.core.schedules.delete(input.name, input.revision);
        return {};
      }),

    /** Once it returned, the schedule submits nothing until it is resumed. */
    pause: procedure
      .input(pauseScheduleInput)
      .output(scheduleOutput)
      .mutation(async ({ ctx, input }) => ({
        schedule: scheduleView(await ctx.core.schedules.pause(input.name)),
      })),

    /** What was to run meanwhile is not made up for. */
    resume: procedure
      .input(pauseScheduleInput)
      .output(scheduleOutput)
      .mutation(async ({ ctx, input }) => ({
        schedule: scheduleView(await ctx.core.schedules.resume(input.name)),
      })),

    /** Submits its command now, whatever its times are. */
    run: procedure
      .input(runScheduleInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { name, idempotencyKey } }) => {
        const command = await ctx.core.schedules.run(ctx.actor.subject, name, { idempotencyKey });
        return { command: commandView(command) };
      }),

    /** When a schedule will run, stored or not. */
    next: procedure
      .input(nextInput)
      .output(nextOutput)
      .query(async ({ ctx, input }) => {
        const times = await ctx.core.schedules.next(input, input.count);
        return { occurrences: times.map(timeView) };
      }),
  });
}
