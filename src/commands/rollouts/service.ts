import type { Page, PageRequest } from '../../lib/page.ts';
import type { History } from '../history/history.ts';
import type { Command } from '../types.ts';
import { type Rollouts, rolloutUnknown } from './rollouts.ts';
import type { RolloutFilter } from './types.ts';

/** What the API calls. Each answers with the command as it is then. */
export interface RolloutService {
  /** @throws command_unknown, rollout_unknown */
  getRollout(commandId: string): Promise<Command>;
  /** Commands that are rollouts, newest first. */
  listRollouts(filter: RolloutFilter, page: PageRequest): Promise<Page<Command>>;
  /**
   * Lets nothing more go and takes back what no agent was handed yet; what is under way goes on. Once it
   * returned, nothing more of the command is handed to an agent. @throws rollout_unknown, rollout_state
   */
  pauseRollout(actor: string, commandId: string, reason: string): Promise<Command>;
  /**
   * Goes on. After a stop only with force, which also begins to count failures anew; what the stop cancelled
   * stays cancelled. @throws rollout_unknown, rollout_state
   */
  resumeRollout(actor: string, commandId: string, options: { force: boolean }): Promise<Command>;
  /**
   * Ends it for good and cancels whatever no agent was handed yet. What is under way goes on, unless it is
   * to be stopped too. @throws rollout_unknown, rollout_state
   */
  abortRollout(
    actor: string,
    commandId: string,
    reason: string,
    options: { stopRunning: boolean },
  ): Promise<Command>;
}

export interface RolloutServiceDeps {
  rollouts: Rollouts;
  history: Pick<History, 'commandAt' | 'listRollouts'>;
  cancel(actor: string, commandId: string, reason: string): Promise<Command>;
}

export function createRolloutService({ rollouts, history, cancel }: RolloutServiceDeps): RolloutService {
  async function getRollout(commandId: string): Promise<Command> {
    const command = await history.commandAt(commandId);
    if (command.rollout === undefined) throw rolloutUnknown(commandId);
    return command;
  }

  return {
    getRollout,
    listRollouts: history.listRollouts,
    async pauseRollout(actor, commandId, reason) {
      await getRollout(commandId);
      await rollouts.pause(actor, commandId, reason);
      return getRollout(commandId);
    },
    async resumeRollout(actor, commandId, { force }) {
      await getRollout(commandId);
      await rollouts.resume(actor, commandId, force);
      return getRollout(commandId);
    },
    async abortRollout(actor, commandId, reason, { stopRunning }) {
      await getRollout(commandId);
      await rollouts.abort(actor, commandId, reason);
      return stopRunning ? cancel(actor, commandId, reason) : getRollout(commandId);
    },
  };
}
