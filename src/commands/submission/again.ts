import { invalidField, ViworksError } from '../../errors.ts';
import type { VerbCatalogue } from '../../protocol/verbs.ts';
import type { Database } from '../../storage/database.ts';
import { agentsInStates } from '../../storage/executions.ts';
import { type Command, type RetryOptions, retryableStates, type SubmitInput } from '../types.ts';

/** Trying a command again by hand: a new command for those agents on which the first one did not succeed. */

/**
 * What to submit.
 * @throws command_state where it is not done, or nothing of it is to be tried again
 */
export async function retryInput(
  { query, verbs }: { query: Database['query']; verbs: Pick<VerbCatalogue, 'effectOf'> },
  command: Command,
  { states, idempotencyKey }: RetryOptions,
): Promise<SubmitInput> {
  const { commandId, verb } = command;
  if (!command.done) throw new ViworksError('command_state', `The command ${commandId} is not done yet.`);
  if (states?.length === 0) throw invalidField('states', 'must name at least one state');
  const once = verbs.effectOf(verb) === 'once';
  const wanted = states ?? retryableStates.filter((state) => !once || state !== 'outcome_unknown');
  const agents = await agentsInStates(query, commandId, wanted);
  if (agents.length === 0) {
    const unknown = once && states === undefined && (command.counts.outcome_unknown ?? 0) > 0;
    const hint = unknown
      ? ` How ${command.counts.outcome_unknown} of them ended is unknown, and ${verb} would perhaps happen twice: ask for outcome_unknown by name.`
      : '';
    throw new ViworksError('command_state', `No execution is ${wanted.join(', ')}.${hint}`);
  }
  return {
    verb,
    args: command.args,
    target: { agents },
    priority: command.priority,
    timeoutMs: command.timeoutMs,
    timeToLiveMs: command.timeToLiveMs,
    maxRetries: command.maxRetries,
    correlationId: command.correlationId,
    idempotencyKey,
    retryOf: commandId,
  };
}
