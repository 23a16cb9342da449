import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { commandMessage, pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';
import { rolloutStateOf } from './rollout-convert.ts';

/** The methods of ControlService for rollouts. */
export function rolloutMethods({ unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    getRollout: unary(method.getRollout, async ({ commandId }, { core }) => {
      return { command: commandMessage(await core.rollouts.getRollout(commandId)) };
    }),

    listRollouts: unary(method.listRollouts, async (request, { core }) => {
      const page = await core.rollouts.listRollouts(
        { state: rolloutStateOf(request.state) },
        pageRequest(request),
      );
      return { commands: page.items.map(commandMessage), nextPageToken: page.nextToken ?? '' };
    }),

    pauseRollout: unary(method.pauseRollout, async ({ commandId, reason }, { actor, core }) => {
      return { command: commandMessage(await core.rollouts.pauseRollout(actor.subject, commandId, reason)) };
    }),

    resumeRollout: unary(method.resumeRollout, async ({ commandId, force }, { actor, core }) => {
      return {
        command: commandMessage(await core.rollouts.resumeRollout(actor.subject, commandId, { force })),
      };
    }),

    abortRollout: unary(method.abortRollout, async ({ commandId, reason, stopRunning }, { actor, core }) => {
      const command = await core.rollouts.abortRollout(actor.subject, commandId, reason, { stopRunning });
      return { command: commandMessage(command) };
    }),
  };
}
