import type { Clock } from '../lib/clock.ts';
import { verbCatalogue } from '../protocol/verbs.ts';
import type { Database } from '../storage/database.ts';
import type { ExecutionChange } from '../storage/execution-changes.ts';
import { type OpenRow, openExecutions } from '../storage/executions.ts';
import type { ChangeWriter } from './changes.ts';
import { type AgentLink, inFlightOf } from './links.ts';
import { transitionRow } from './rows.ts';
import { type Account, type Decision, deadlineOf, type Effect, isFinal, reconcile } from './state.ts';
import type { ExecutionState } from './types.ts';

/**
 * Reconciliation brings the server's belief and the agent's ledger together when a session opens, before
 * anything else is said in it. Afterwards the link holds every execution that still counts.
 */
export interface Reconciler {
  /** @param account the agent's, by execution id. Answers with what must be cancelled on the agent. */
  reconcile(
    link: AgentLink,
    account: ReadonlyMap<string, Account>,
  ): Promise<{ executionId: string; attempt: number; reason: string }[]>;
}

export interface ReconcilerDeps {
  database: Database;
  writer: ChangeWriter;
  clock: Clock;
}

export const effectOf = (verb: string): Effect => verbCatalogue.get(verb)?.effect ?? 'once';

export function createReconciler({ database, writer, clock }: ReconcilerDeps): Reconciler {
  return {
    async reconcile(link, account) {
      const rows = await openExecutions(database.query, link.agentId, link.incarnation, [...account.keys()]);
      const now = clock.now();
      const cancels: { executionId: string; attempt: number; reason: string }[] = [];
      const writes: Promise<unknown>[] = [];
      for (const row of rows) {
        const line = account.get(row.executionId);
        const decision = reconcile(
          {
            state: row.state as ExecutionState,
            attempt: row.attempt,
            effect: effectOf(row.verb),
            handedOver: row.epoch !== null,
          },
          line,
        );
        if (decision === undefined) continue;
        const stays = line !== undefined && decision.to !== 'queued' && decision.to !== 'held';
        if (stays) link.inFlight.set(row.executionId, inFlightOf(row, now, row.cancelReason !== null));
        if (row.cancelReason !== null && line?.phase === 'running') {
          cancels.push({ executionId: row.executionId, attempt: row.attempt, reason: row.cancelReason });
        }
        const wanted = honourCancel(row, decision);
        // What the agent has no record of, no agent has.
        writes.push(writer.add(changeOf(row, wanted, now, stays ? link.epoch : null)));
      }
      await Promise.all(writes);
      return cancels;
    },
  };
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
