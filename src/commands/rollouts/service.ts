import type { Page, PageRequest } from '../../lib/page.ts';
import type { Command } from '../types.ts';
import type { RolloutState } from './types.ts';

/** What the API calls. Each answers with the command as it is then. */
export interface RolloutService {
  /** @throws command_unknown, rollout_unknown */
  getRollout(commandId: string): Promise<Command>;
  /** Commands that are rollouts, newest first. */
  listRollouts(filter: { state?: RolloutState | undefined }, page: PageRequest): Promise<Page<Command>>;
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
