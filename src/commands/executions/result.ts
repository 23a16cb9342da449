import { Result_Outcome as Outcome, type Output, type Result } from '#gen/viworks/agent/v1/command_pb.js';
import { storableJson, storableText } from '../../lib/text.ts';
import { timestampMs } from '../../protocol/envelope.ts';
import { resultFromBytes } from '../../protocol/verb-values.ts';
import type { VerbCatalogue, VerbSpec } from '../../protocol/verbs.ts';
import type { ExecutionChange, ResultColumns } from '../../storage/execution-changes.ts';
import type { AgentLink, InFlight } from '../dispatch/links.ts';
import { transitionRow } from '../rows.ts';
import { decideRetry, retryChange } from './retry.ts';
import { allowedFrom, type Decision } from './state.ts';

/** What follows from an agent's RESULT: the state, perhaps another attempt, and what of it is kept. */

/** Refusals that say nothing against the order itself: another attempt may be taken. */
const notStarted: ReadonlySet<string> = new Set([
  'resource_exhausted',
  'queue_full',
  'agent_stopped',
  'agent_restarted',
  'ledger_unavailable',
]);

/** So often is an order offered to an agent that refuses to start it; then the refusal is the result. */
const maximumOffers = 5;

/** The state that a result brings. */
export function decideResult(result: Result): Decision {
  const why = storableText((result.failure?.message ?? '').slice(0, 200));
  switch (result.outcome) {
    case Outcome.SUCCEEDED:
      return { to: 'succeeded', cause: 'the agent reported success' };
    case Outcome.CANCELLED:
      return { to: 'cancelled', cause: 'the agent stopped it' };
    case Outcome.TIMED_OUT:
      return { to: 'timed_out', cause: 'the agent ended it at its time limit' };
    case Outcome.UNKNOWN:
      return { to: 'outcome_unknown', cause: why || 'the agent does not know how it ended' };
    case Outcome.REJECTED:
      if (notStarted.has(result.failure?.code ?? '') && result.attempt < maximumOffers) {
        return { to: 'queued', cause: `not started, offered again: ${why}` };
      }
      if (result.failure?.code === 'expired') {
        return { to: 'expired', cause: 'reached the agent after its time to live' };
      }
      return { to: 'failed', cause: `refused by the agent: ${why}` };
    default:
      return { to: 'failed', cause: why || 'the agent reported a failure' };
  }
}

/** The end of the year 9999, the last that a timestamp may name. */
const latestMs = 253_402_300_799_999;

/** What of a result is kept. @param verb its name, where it is known */
export function columnsOf(result: Result, verb: string | undefined, verbs: VerbCatalogue): ResultColumns {
  const text = (value: string) => (value === '' ? null : storableText(value));
  const moment = (value: Result['startedAt']) => {
    const ms = timestampMs(value);
    return ms !== undefined && ms >= 0 && ms <= latestMs ? new Date(ms) : null;
  };
  return {
    exitCode: result.exitCode ?? null,
    signal: text(result.signal),
    ...streamColumns('stdout', result.stdout),
    ...streamColumns('stderr', result.stderr),
    output: outputJson(result, verbs.get(verb ?? '')),
    failureCode: text(result.failure?.code ?? ''),
    failureMessage: text(result.failure?.message ?? ''),
    startedAt: moment(result.startedAt),
    finishedAt: moment(result.finishedAt),
  } as ResultColumns;
}

function streamColumns(name: 'stdout' | 'stderr', output: Output | undefined) {
  return {
    // What was streamed is kept as it came.
    [name]: output === undefined || output.offset > 0n ? null : output.data,
    [`${name}Total`]:
      output === undefined ? null : Math.min(Number(output.totalBytes), Number.MAX_SAFE_INTEGER),
    [`${name}Truncated`]: output?.truncated ?? null,
  };
}

/** The verb's result in JSON, or null where there is none or it is not what it should be. */
function outputJson(result: Result, verb: VerbSpec | undefined): string | null {
  if (result.output.byteLength === 0 || verb === undefined) return null;
  const output = resultFromBytes(verb, result.output, result.outputEncoding);
  return output === undefined ? null : storableJson(output);
}

/**
 * What a result makes of its execution: another attempt where there is one to come, and otherwise its end.
 * @param known what the link knows of it; undefined for a result that nobody waits for any more
 * @param random in [0, 1)
 */
export function resultChanges(
  link: Pick<AgentLink, 'epoch' | 'agentId'>,
  message: Pick<Result, 'executionId' | 'attempt' | 'failure'>,
  decision: Decision,
  known: InFlight | undefined,
  now: number,
  random: number,
  verbs: Pick<VerbCatalogue, 'effectOf'>,
): { ended: ExecutionChange; retry: ExecutionChange | undefined } {
  const { executionId, attempt } = message;
  const again = decision.to === 'queued';
  const ended: ExecutionChange = {
    executionId,
    from: allowedFrom[decision.to],
    epoch: link.epoch,
    attempt,
    agentId: link.agentId,
    transitions: [transitionRow(decision.to, decision.cause, now)],
    // The agent's ledger has closed this attempt: the next offer is another one, which no agent has yet.
    newAttempt: again ? attempt + 1 : undefined,
    newEpoch: again ? null : undefined,
    deadlineAt: again ? new Date(known?.expiresAt ?? now) : null,
  };
  if (known === undefined || known.cancelled) return { ended, retry: undefined };
  const budget = { ...known, effect: verbs.effectOf(known.verb) };
  const retry = decideRetry({ ...decision, code: message.failure?.code }, budget, now, random);
  return { ended, retry: retry && retryChange(ended, attempt, retry, now) };
}
