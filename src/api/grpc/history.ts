import { timestampDate } from '@bufbuild/protobuf/wkt';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { type RetryableState, retryableStates } from '../../commands/types.ts';
import type { ApiDeps } from '../deps.ts';
import { spanOf } from '../schemas/statistics.ts';
import { commandMessage, stateOf } from './convert.ts';
import type { Guard } from './guard.ts';
import { groupOf, statisticsMessage } from './history-convert.ts';

/** The methods of ControlService for commands that wait for a decision, or are over. */
export function historyMethods({ clock }: Pick<ApiDeps, 'clock'>, { unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    approveCommand: unary(method.approveCommand, async ({ commandId, reason }, { actor, core }) => {
      return {
        command: commandMessage(await core.commands.decide(actor.subject, commandId, 'approved', reason)),
      };
    }),

    rejectCommand: unary(method.rejectCommand, async ({ commandId, reason }, { actor, core }) => {
      return {
        command: commandMessage(await core.commands.decide(actor.subject, commandId, 'rejected', reason)),
      };
    }),

    retryCommand: unary(
      method.retryCommand,
      async ({ commandId, states, idempotencyKey }, { actor, core }) => {
        const wanted = states.map(stateOf).filter(isRetryable);
        const options = {
          states: wanted.length === 0 ? undefined : wanted,
          idempotencyKey: idempotencyKey || undefined,
        };
        return { command: commandMessage(await core.commands.retry(actor.subject, commandId, options)) };
      },
    ),

    getStatistics: unary(method.getStatistics, async ({ by, from, to }, { core }) => {
      const span = spanOf({ from: from && timestampDate(from), to: to && timestampDate(to) }, clock.now());
      const statistics = await core.commands.statistics({ by: groupOf(by), ...span });
      return { statistics: statistics.map(statisticsMessage) };
    }),
  };
}

const isRetryable = (state: string | undefined): state is RetryableState =>
  retryableStates.some((known) => known === state);
