import { commandOutput, commandView, listCommandsOutput } from '../schemas/commands.ts';
import { pageRequest } from '../schemas/common.ts';
import {
  abortRolloutInput,
  getRolloutInput,
  listRolloutsInput,
  pauseRolloutInput,
  resumeRolloutInput,
} from '../schemas/rollouts.ts';
import { procedure, router } from './trpc.ts';

/** Commands that go to their agents in steps. A rollout begins with `commands.submit`. */
export function rolloutsRouter() {
  return router({
    get: procedure
      .input(getRolloutInput)
      .output(commandOutput)
      .query(async ({ ctx, input }) => ({
        command: commandView(await ctx.core.rollouts.getRollout(input.commandId)),
      })),

    list: procedure
      .input(listRolloutsInput)
      .output(listCommandsOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.rollouts.listRollouts({ state: input.state }, pageRequest(input));
        return { commands: page.items.map(commandView), nextPageToken: page.nextToken };
      }),

    /** Lets nothing more go. Once it returned, no agent is handed anything more of the command. */
    pause: procedure
      .input(pauseRolloutInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { commandId, reason } }) => {
        return {
          command: commandView(await ctx.core.rollouts.pauseRollout(ctx.actor.subject, commandId, reason)),
        };
      }),

    resume: procedure
      .input(resumeRolloutInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { commandId, force } }) => {
        return {
          command: commandView(
            await ctx.core.rollouts.resumeRollout(ctx.actor.subject, commandId, { force }),
          ),
        };
      }),

    /** Ends it for good. */
    abort: procedure
      .input(abortRolloutInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { commandId, reason, stopRunning } }) => {
        const { subject } = ctx.actor;
        const command = await ctx.core.rollouts.abortRollout(subject, commandId, reason, { stopRunning });
        return { command: commandView(command) };
      }),
  });
}
