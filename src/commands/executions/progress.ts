import {
  type CommandUpdate,
  Result_Outcome as Outcome,
  type Output,
  type OutputChunk,
  type Result,
  OutputChunk_Stream as Stream,
} from '#gen/viworks/agent/v1/command_pb.js';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import { storableJson, storableText } from '../../lib/text.ts';
import { timestampMs } from '../../protocol/envelope.ts';
import { resultFromBytes } from '../../protocol/verb-values.ts';
import type { VerbCatalogue, VerbSpec } from '../../protocol/verbs.ts';
import type { Database } from '../../storage/database.ts';
import type { ExecutionChange, ResultColumns } from '../../storage/execution-changes.ts';
import { findVerb } from '../../storage/executions.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { AgentLink, InFlight } from '../dispatch/links.ts';
import type { OutputIntake } from '../output/output.ts';
import { transitionRow } from '../rows.ts';
import type { ChangeWriter } from './changes.ts';
import { decideRetry, retryChange } from './retry.ts';
import { allowedFrom, type Decision, resultGraceMs } from './state.ts';

/**
 * What agents say of their executions. Each call resolves when what was said is committed, or when it no
 * longer counts (said twice, or by a session that is not the newest): then the agent may forget it too.
 */
export interface Progress {
  update(link: AgentLink, message: CommandUpdate): Promise<void>;
  result(link: AgentLink, message: Result): Promise<void>;
}

export interface ProgressDeps {
  database: Database;
  writer: ChangeWriter;
  output: Pick<OutputIntake, 'append'>;
  dispatcher: Dispatcher;
  metrics: Metrics;
  clock: Clock;
  log: Logger;
  verbs: VerbCatalogue;
}

/** Milliseconds until an agent that started nothing, and holds nothing, is offered something again. */
const offerAgainMs = 1000;

export function createProgress(deps: ProgressDeps): Progress {
  const { database, writer, output, dispatcher, metrics, clock, log, verbs } = deps;

  /** The agent's next result makes room; where none is to come, it is asked again after a while. */
  function offerLater(link: AgentLink): void {
    link.backlog = true;
    if (link.inFlight.size === 0) setTimeout(dispatcher.creditReturned, offerAgainMs, link.agentId).unref();
  }

  /** Output that nobody waits for any more is not kept. */
  async function appendChunk(link: AgentLink, executionId: string, attempt: number, chunk: OutputChunk) {
    const known = knownOf(link, executionId, attempt);
    const stream = streamOfChunk[chunk.stream];
    if (known === undefined || stream === undefined) return;
    const position = Math.min(Number(chunk.offset), Number.MAX_SAFE_INTEGER);
    const { commandId } = known;
    await output.append(
      { executionId, commandId, attempt, stream, position, data: chunk.data },
      outputOf(known),
    );
  }

  /** What of a streamed output comes with the result goes where the rest of it is. */
  function appendRest(known: InFlight, { executionId, attempt, stdout, stderr }: Result) {
    const rests = [
      [1, stdout],
      [2, stderr],
    ] as const;
    const rows = rests.flatMap(([stream, rest]) => {
      if (rest === undefined || rest.offset === 0n) return [];
      const { commandId } = known;
      return { executionId, commandId, attempt, stream, position: Number(rest.offset), data: rest.data };
    });
    return rows.length === 0
      ? undefined
      : Promise.all(rows.map((row) => output.append(row, outputOf(known))));
  }

  return {
    async update(link, { executionId, attempt, update }) {
      if (update.case === 'output') return appendChunk(link, executionId, attempt, update.value);
      if (update.case !== 'accepted' && update.case !== 'running') return;
      const now = clock.now();
      const to = update.case;
      const cause = to === 'accepted' ? 'in the agent’s ledger' : 'the work began';
      const known = knownOf(link, executionId, attempt);
      if (known === undefined) {
        // Reconciliation put every execution that still counts into the link.
        log.debug({ agentId: link.agentId, executionId }, 'progress of an execution that is not under way');
        return;
      }
      // A quick command’s result comes right behind, and one write then tells all of it.
      await writer.addLazily({
        executionId,
        from: allowedFrom[to],
        epoch: link.epoch,
        attempt,
        agentId: link.agentId,
        transitions: [transitionRow(to, cause, now)],
        deadlineAt: new Date(now + known.timeoutMs + resultGraceMs),
      });
    },

    async result(link, message) {
      const { executionId, attempt } = message;
      const decision = decideResult(message);
      const now = clock.now();
      const known = knownOf(link, executionId, attempt);
      // What the link has forgotten, because its deadline was over, is in the database. Any other result keeps
      // its place before what comes after it.
      const forgotten = known === undefined && message.output.byteLength > 0;
      const verb = forgotten ? await findVerb(database.query, executionId) : known?.verb;
      const result = decision.to === 'queued' ? undefined : columnsOf(message, verb, verbs);
      if (result !== undefined && message.output.byteLength > 0 && result.output === null) {
        log.warn({ agentId: link.agentId, executionId, verb }, 'the output of a result cannot be read');
      }
      const rest = known && appendRest(known, message);
      if (rest !== undefined) await rest;
      const { ended, retry } = resultChanges(link, message, decision, known, now, Math.random(), verbs);
      ended.result = result;
      const held = retry && (await writer.add({ ...retry, result }));
      const applied = held ?? (await writer.add(ended));
      if (applied === undefined) {
        log.debug({ agentId: link.agentId, executionId, attempt }, 'a result that no longer counts');
      }
      // A repeated word of an attempt before leaves the one that is under way alone.
      if (knownOf(link, executionId, attempt) !== undefined) link.inFlight.delete(executionId);
      if (known !== undefined) metrics.executionRoundtripSeconds.observe((clock.now() - known.since) / 1000);
      if (applied?.state === 'queued') offerLater(link);
      else dispatcher.creditReturned(link.agentId);
    },
  };
}

function knownOf(link: AgentLink, executionId: string, attempt: number): InFlight | undefined {
  const entry = link.inFlight.get(executionId);
  return entry?.attempt === attempt ? entry : undefined;
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

const outputOf = (entry: InFlight): Map<number, number> => {
  entry.output ??= new Map();
  return entry.output;
};

const streamOfChunk: Readonly<Record<Stream, number | undefined>> = {
  [Stream.UNSPECIFIED]: undefined,
  [Stream.STDOUT]: 1,
  [Stream.STDERR]: 2,
};

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
  const why = storableText(result.failure?.message ?? '').slice(0, 200);
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

function columnsOf(result: Result, verb: string | undefined, verbs: VerbCatalogue): ResultColumns {
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
