import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import type { ApiDeps } from '../deps.ts';
import { commandMessage, pageRequest } from './convert.ts';
import type { Guard } from './guard.ts';
import { rolloutStateOf } from './rollout-convert.ts';

/** The methods of ControlService for rollouts. */
export function rolloutMethods({ rollouts }: Pick<ApiDeps, 'rollouts'>, { unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    getRollout: unary(method.getRollout, async ({ commandId }) => {
      return { command: commandMessage(await rollouts.getRollout(commandId)) };
    }),

    listRollouts: unary(method.listRollouts, async (request) => {
      const page = await rollouts.listRollouts(
        { state: rolloutStateOf(request.state) },
        pageRequest(request),
      );
      return { commands: page.items.map(commandMessage), nextPageToken: page.nextToken ?? '' };
    }),

    pauseRollout: unary(method.pauseRollout, async ({ commandId, reason }, { actor }) => {
      return { command: commandMessage(await rollouts.pauseRollout(actor.subject, commandId, reason)) };
    }),

    resumeRollout: unary(method.resumeRollout, async ({ commandId, force }, { actor }) => {
      return { command: commandMessage(await rollouts.resumeRollout(actor.subject, commandId, { force })) };
    }),

    abortRollout: unary(method.abortRollout, async ({ commandId, reason, stopRunning }, { actor }) => {
      const command = await rollouts.abortRollout(actor.subject, commandId, reason, { stopRunning });
      return { command: commandMessage(command) };
    }),
  };
}
