import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import type { VerbCatalogue } from '../../protocol/verbs.ts';
import { createBatchWriter } from '../../storage/batch-writer.ts';
import type { Database } from '../../storage/database.ts';
import type { ExecutionChange } from '../../storage/execution-changes.ts';
import { type AgentAccount, type OpenRow, openExecutions } from '../../storage/executions.ts';
import { type AgentLink, inFlightOf } from '../dispatch/links.ts';
import { transitionRow } from '../rows.ts';
import type { ExecutionState } from '../types.ts';
import type { ChangeWriter } from './changes.ts';
import { type Account, type Decision, deadlineOf, type Effect, isFinal, reconcile } from './state.ts';

/**
 * Reconciliation brings the server's belief and the agent's ledger together when a session opens, before
 * anything else is said in it. Afterwards the link holds every execution that still counts.
 */
export interface Reconciler {
  /** @param account the agent's, by execution id. Answers with what must be cancelled on the agent. */
  reconcile(link: AgentLink, account: ReadonlyMap<string, Account>): Promise<Cancel[]>;
}

export interface Cancel {
  executionId: string;
  attempt: number;
  reason: string;
}

export interface ReconcilerDeps {
  database: Database;
  writer: ChangeWriter;
  clock: Clock;
  verbs: Pick<VerbCatalogue, 'effectOf'>;
}

const maximumLooks = 5;

export function createReconciler({ database, writer, clock, verbs }: ReconcilerDeps): Reconciler {
  /** Those who come back at the same time are looked at together. */
  const open = createBatchWriter<AgentAccount, OpenRow[]>({
    maximumBatch: 5000,
    maximumWaiting: 1_000_000,
    weight: ({ account }) => 1 + account.length,
    retryForMs: 0,
    write: (accounts) => openExecutions(database.query, accounts),
  });

  /** One look; answers with the executions that somebody changed between the look and the write. */
  async function look(link: AgentLink, account: ReadonlyMap<string, Account>, into: Cancel[]) {
    const { agentId, incarnation } = link;
    const rows = await open.add({ agentId, incarnation, account: [...account.keys()] });
    const now = clock.now();
    const writes = rows.map(async (row) => {
      const line = account.get(row.executionId);
      const answer = reconcileRow(row, line, link.epoch, now, verbs.effectOf(row.verb));
      // Done in the look before.
      if (answer === undefined || (answer.stays && row.epoch === link.epoch)) return true;
      if ((await writer.add(answer.change)) === undefined) return false;
      if (!answer.stays) return true;
      link.inFlight.set(row.executionId, inFlightOf(row, now, row.cancelReason !== null));
      if (row.cancelReason !== null && line?.phase === 'running') {
        into.push({ executionId: row.executionId, attempt: row.attempt, reason: row.cancelReason });
      }
      return true;
    });
    return (await Promise.all(writes)).every(Boolean);
  }

  return {
    async reconcile(link, account) {
      const cancels: Cancel[] = [];
      // What the session before said may still wait to be written when this one looks, and changes the rows
      // under it. That session has ended, so a second look is the last but for a rare other hand.
      for (let looks = 0; looks < maximumLooks; looks++) {
        if (await look(link, account, cancels)) return cancels;
      }
      throw new ViworksError('unavailable', 'The executions of the agent change too fast; connect again.');
    },
  };
}

/**
 * What the agent's account makes of one execution.
 * @returns stays: the agent has it, and its result will come in this session
 */
export function reconcileRow(
  row: OpenRow,
  line: Account | undefined,
  epoch: number,
  now: number,
  effect: Effect,
): { change: ExecutionChange; stays: boolean } | undefined {
  const state = row.state as ExecutionState;
  const execution = {
    state,
    attempt: row.attempt,
    effect,
    handedOver: row.epoch !== null,
  };
  const decision = reconcile(execution, line);
  if (decision === undefined) return undefined;
  const stays = line !== undefined && decision.to !== 'queued' && decision.to !== 'held';
  // What the agent has no record of, no agent has.
  const change = changeOf(row, honourCancel(row, decision), now, stays ? epoch : null);
  return { change, stays };
}

/** What was cancelled while it was out of reach is not offered again. */
function honourCancel(row: OpenRow, decision: Decision): Decision {
  if (row.cancelReason === null || (decision.to !== 'queued' && decision.to !== 'held')) return decision;
  return { to: 'cancelled', cause: row.cancelReason };
}

/** The change that a decision makes of a row, if nobody else has changed it meanwhile. */
export function changeOf(
  row: OpenRow,
  decision: Decision,
  now: number,
  newEpoch?: number | null,
): ExecutionChange {
  const limits = { expiresAt: row.expiresAt.getTime(), timeoutMs: row.timeoutMs };
  const deadline = isFinal(decision.to) ? undefined : deadlineOf(decision.to, now, limits);
  return {
    executionId: row.executionId,
    from: [row.state],
    revision: row.revision,
    transitions: [transitionRow(decision.to, decision.cause, now)],
    newEpoch,
    hold: decision.to === 'held' ? (row.hold ?? undefined) : undefined,
    deadlineAt: deadline === undefined ? null : new Date(deadline),
  };
}
