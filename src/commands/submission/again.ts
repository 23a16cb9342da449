import { invalidField, ViworksError } from '../../errors.ts';
import { argsToJson } from '../../protocol/verb-values.ts';
import type { VerbCatalogue } from '../../protocol/verbs.ts';
import { findSubmitted } from '../../storage/approvals.ts';
import type { ExecutionBinding } from '../../storage/bound-rows.ts';
import type { Database } from '../../storage/database.ts';
import { executionsInStates } from '../../storage/executions.ts';
import { type Command, type RetryOptions, retryableStates, type SubmitInput } from '../types.ts';

/** Trying a command again by hand: a new command for those agents on which the first one did not succeed. */

interface RetryDeps {
  query: Database['query'];
  verbs: Pick<VerbCatalogue, 'effectOf' | 'get'>;
  binding: Pick<ExecutionBinding, 'holds'>;
}

/**
 * What to submit: verb, args, time limit and retries as they were submitted, and not as somebody has written them into
 * the row. Priority, time to live and correlation id are those of the row.
 * @throws command_state where it is not done, or nothing of it is to be tried again; not_authentic
 */
export async function retryInput(
  { query, verbs, binding }: RetryDeps,
  command: Command,
  { states, idempotencyKey }: RetryOptions,
): Promise<SubmitInput> {
  const { commandId, verb } = command;
  if (!command.done) throw new ViworksError('command_state', `The command ${commandId} is not done yet.`);
  if (states?.length === 0) throw invalidField('states', 'must name at least one state');
  const once = verbs.effectOf(verb) === 'once';
  const wanted = states ?? retryableStates.filter((state) => !once || state !== 'outcome_unknown');
  const executions = await executionsInStates(query, commandId, wanted);
  if (executions.length === 0) {
    const unknown = once && states === undefined && (command.counts.outcome_unknown ?? 0) > 0;
    const hint = unknown
      ? ` How ${command.counts.outcome_unknown} of them ended is unknown, and ${verb} would perhaps happen twice: ask for outcome_unknown by name.`
      : '';
    throw new ViworksError('command_state', `No execution is ${wanted.join(', ')}.${hint}`);
  }
  const submitted = await findSubmitted(query, commandId);
  const isAuthentic = executions.every(
    (execution) =>
      submitted !== undefined &&
      execution.verb === verb &&
      // What nobody approved may be tried again, and is asked about again.
      [false, true].some((unapproved) =>
        binding.holds({ ...submitted, ...execution, commandId, unapproved }, execution.binding),
      ),
  );
  if (submitted === undefined || !isAuthentic) {
    throw new ViworksError(
      'not_authentic',
      `The command ${commandId} was not submitted here, or altered since: it is not tried again.`,
    );
  }
  const spec = verbs.get(verb);
  return {
    verb,
    args: spec === undefined ? command.args : argsToJson(spec, submitted.argsBytes),
    target: { agents: executions.map(({ agentId }) => agentId) },
    priority: command.priority,
    timeoutMs: submitted.timeoutMs,
    timeToLiveMs: command.timeToLiveMs,
    maxRetries: submitted.maxRetries,
    correlationId: command.correlationId,
    idempotencyKey,
    retryOf: commandId,
  };
}
