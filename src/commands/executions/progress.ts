import {
  type CommandUpdate,
  type OutputChunk,
  type Result,
  OutputChunk_Stream as Stream,
} from '#gen/viworks/agent/v1/command_pb.js';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import type { Metrics } from '../../lib/metrics.ts';
import type { VerbCatalogue } from '../../protocol/verbs.ts';
import type { Database } from '../../storage/database.ts';
import { findVerb } from '../../storage/executions.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import type { AgentLink, InFlight } from '../dispatch/links.ts';
import type { OutputIntake } from '../output/output.ts';
import { transitionRow } from '../rows.ts';
import type { ChangeWriter } from './changes.ts';
import { columnsOf, decideResult, resultChanges } from './result.ts';
import { allowedFrom, resultGraceMs } from './state.ts';

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

const outputOf = (entry: InFlight): Map<number, number> => {
  entry.output ??= new Map();
  return entry.output;
};

const streamOfChunk: Readonly<Record<Stream, number | undefined>> = {
  [Stream.UNSPECIFIED]: undefined,
  [Stream.STDOUT]: 1,
  [Stream.STDERR]: 2,
};
