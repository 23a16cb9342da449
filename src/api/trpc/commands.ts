import { tracked } from '@trpc/server';
import { ViworksError } from '../../errors.ts';
import type { ApiDeps } from '../deps.ts';
import { decideInput } from '../schemas/approvals.ts';
import {
  cancelInput,
  commandOutput,
  commandView,
  getCommandInput,
  getCommandOutput,
  listCommandsInput,
  listCommandsOutput,
  retryInput,
  typedSubmitInput,
  watchInput,
  watchOutput,
  watchView,
} from '../schemas/commands.ts';
import { pageRequest } from '../schemas/common.ts';
import { executionView } from '../schemas/executions.ts';
import { outputInput, outputOutput, outputView } from '../schemas/output.ts';
import { spanOf, statisticsInput, statisticsOutput, statisticsView } from '../schemas/statistics.ts';
import { planOutput, planView } from '../schemas/targets.ts';
import { trackedStream } from './tracked-stream.ts';
import { procedure, router } from './trpc.ts';

export function commandsRouter({ clock }: Pick<ApiDeps, 'clock'>) {
  return router({
    /** Returns when the command is durable. Nothing is stored when it is refused. */
    submit: procedure
      .input(typedSubmitInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input }) => {
        return { command: commandView(await ctx.core.commands.submit(ctx.actor.subject, input)) };
      }),

    /** What submit would do now, without doing it, and why not elsewhere. */
    plan: procedure
      .input(typedSubmitInput)
      .output(planOutput)
      .query(async ({ ctx, input }) => planView(await ctx.core.commands.plan(input))),

    get: procedure
      .input(getCommandInput)
      .output(getCommandOutput)
      .query(async ({ ctx, input }) => {
        const { command, executions } = await ctx.core.commands.get(input.commandId, pageRequest(input));
        return {
          command: commandView(command),
          executions: executions.items.map(executionView),
          nextPageToken: executions.nextToken,
        };
      }),

    list: procedure
      .input(listCommandsInput)
      .output(listCommandsOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.commands.list(input.filter, pageRequest(input));
        return { commands: page.items.map(commandView), nextPageToken: page.nextToken };
      }),

    /** Asks every execution that is not final to stop. Repeating it changes nothing. */
    cancel: procedure
      .input(cancelInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input }) => {
        const command = await ctx.core.commands.cancel(ctx.actor.subject, input.commandId, input.reason);
        return { command: commandView(command) };
      }),

    /** Lets a command go that waits for a second person; who submitted it cannot. */
    approve: procedure
      .input(decideInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { commandId, reason } }) => {
        const command = await ctx.core.commands.decide(ctx.actor.subject, commandId, 'approved', reason);
        return { command: commandView(command) };
      }),

    /** Ends a command that waits for a second person; who submitted it cancels it. */
    reject: procedure
      .input(decideInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { commandId, reason } }) => {
        const command = await ctx.core.commands.decide(ctx.actor.subject, commandId, 'rejected', reason);
        return { command: commandView(command) };
      }),

    /** Submits a finished command again, for the agents on which it did not succeed. */
    retry: procedure
      .input(retryInput)
      .output(commandOutput)
      .mutation(async ({ ctx, input: { commandId, ...options } }) => {
        return { command: commandView(await ctx.core.commands.retry(ctx.actor.subject, commandId, options)) };
      }),

    /** Figures over the commands of a span of time. */
    statistics: procedure
      .input(statisticsInput)
      .output(statisticsOutput)
      .query(async ({ ctx, input }) => {
        const span = spanOf(input, clock.now());
        return statisticsView(span, await ctx.core.commands.statistics({ by: input.by, ...span }));
      }),

    /** First what is known, then each change; ends when the command is done, resumes after the last event. */
    watch: procedure
      .input(watchInput)
      .output(trackedStream(watchOutput))
      .subscription(async function* ({ ctx, input, signal }) {
        const standing = ctx.watchStanding(ctx.actor);
        try {
          const ended = AbortSignal.any([ctx.stopping, standing.signal, ...(signal ? [signal] : [])]);
          const events = ctx.core.commands.watch(input.commandId, input.lastEventId || undefined, ended);
          for await (const event of events) yield tracked(event.cursor, watchView(event));
          standing.signal.throwIfAborted();
        } finally {
          standing.end();
        }
        // An end without an error says that the command is done; this one has its client connect again.
        if (ctx.stopping.aborted) throw new ViworksError('draining', 'The server stops; connect again.');
      }),

    /** A part of one stream of an execution's last attempt, as far as it is known. */
    output: procedure
      .input(outputInput)
      .output(outputOutput)
      .query(async ({ ctx, input: { executionId, stream, offset, limit } }) => {
        return outputView(await ctx.core.commands.output(executionId, stream, offset, limit));
      }),
  });
}
