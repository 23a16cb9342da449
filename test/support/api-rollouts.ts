import { planOf } from '../../src/commands/rollouts/decide.ts';
import type { RolloutService } from '../../src/commands/rollouts/service.ts';
import type { Rollout, RolloutInput, RolloutState } from '../../src/commands/rollouts/types.ts';
import type { CommandService } from '../../src/commands/service.ts';
import type { Command } from '../../src/commands/types.ts';
import { ViworksError } from '../../src/errors.ts';

/** Rollouts of a core in memory: they turn as they are told, and nothing moves them on. */

export function newRollout(input: RolloutInput, waiting: number): Rollout {
  const counts = { succeeded: 0, failed: 0, undelivered: 0, inFlight: 0, waiting };
  const updatedAt = new Date('2030-01-01T00:00:00.000Z');
  return { plan: planOf(input), state: 'running', reason: undefined, released: 0, counts, updatedAt };
}

export function memoryRollouts(commands: Pick<CommandService, 'get' | 'list'>): RolloutService {
  const find = async (commandId: string): Promise<Command & { rollout: Rollout }> => {
    const { command } = await commands.get(commandId, { size: 1, token: undefined });
    const { rollout } = command;
    if (rollout === undefined) throw new ViworksError('rollout_unknown', `${commandId} is no rollout.`);
    return Object.assign(command, { rollout });
  };
  const turn = async (commandId: string, state: RolloutState, reason: string) => {
    const command = await find(commandId);
    Object.assign(command.rollout, { state, reason });
    return command;
  };
  return {
    getRollout: find,
    async listRollouts({ state }, request) {
      const { items, nextToken } = await commands.list({}, request);
      const found = items.filter(
        ({ rollout }) => rollout && (state === undefined || rollout.state === state),
      );
      return { items: found, nextToken };
    },
    pauseRollout: (actor, commandId, reason) => turn(commandId, 'paused', `${actor}: ${reason}`),
    async resumeRollout(actor, commandId, { force }) {
      const { rollout } = await find(commandId);
      if (rollout.state === 'aborted') throw new ViworksError('rollout_state', 'The rollout is aborted.');
      return turn(commandId, 'running', `${actor}${force ? ' by force' : ''}`);
    },
    abortRollout: (actor, commandId, reason, { stopRunning }) =>
      turn(commandId, 'aborted', `${actor}: ${reason}${stopRunning ? ' and stop' : ''}`),
  };
}
