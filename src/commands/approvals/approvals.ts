import type { Bus } from '../../bus/bus.ts';
import { ViworksError } from '../../errors.ts';
import type { Clock } from '../../lib/clock.ts';
import { storableText } from '../../lib/text.ts';
import {
  bindApproved,
  cancelUnapproved,
  findSubmitted,
  findUnapproved,
  lockApproval,
  releaseApproved,
  saveDecision,
} from '../../storage/approvals.ts';
import type { ExecutionBinding } from '../../storage/bound-rows.ts';
import type { Database } from '../../storage/database.ts';
import type { Dispatcher } from '../dispatch/dispatcher.ts';
import { causeBy, transitionRow } from '../rows.ts';
import { judge, type Verdict } from './decide.ts';

/**
 * Approvals: what is dangerous waits for a second person. A command that needs one is stored with all of its
 * executions held; whoever decides locks its approval, so that of two people only one does.
 */
export interface Approvals {
  /** @throws approval_unknown, approval_state, approval_own */
  decide(actor: string, commandId: string, verdict: Verdict, reason: string): Promise<void>;
}

export interface ApprovalsDeps {
  database: Database;
  dispatcher: Pick<Dispatcher, 'wake'>;
  binding: ExecutionBinding;
  bus: Bus;
  clock: Clock;
}

export function createApprovals({ database, dispatcher, binding, bus, clock }: ApprovalsDeps): Approvals {
  /** What was submitted here may be sent from now on. What was not stays unbound, and is refused when it is taken. */
  async function bindAnew(query: Database['query'], commandId: string): Promise<void> {
    const command = await findSubmitted(query, commandId);
    if (command === undefined) return;
    const rows = await findUnapproved(query, commandId);
    const bound = rows.flatMap((row) => {
      const execution = { ...command, ...row };
      if (!binding.holds({ ...execution, unapproved: true }, row.binding)) return [];
      return [{ executionId: row.executionId, binding: binding.bind({ ...execution, unapproved: false }) }];
    });
    await bindApproved(query, bound);
  }

  return {
    async decide(actor, commandId, verdict, given) {
      const reason = storableText(given);
      const now = clock.now();
      const cause = causeBy(verdict, actor, reason);
      const agents = await database.transaction(async (query) => {
        const approval = await lockApproval(query, commandId);
        if (approval === undefined) {
          throw new ViworksError('approval_unknown', `The command ${commandId} needs no approval.`);
        }
        if (judge(approval, actor, verdict) === 'done') return undefined;
        if (verdict === 'approved') await bindAnew(query, commandId);
        const moved =
          verdict === 'approved'
            ? await releaseApproved(query, commandId, transitionRow('queued', cause, now))
            : await cancelUnapproved(query, commandId, transitionRow('cancelled', cause, now));
        if (moved.length === 0) {
          throw new ViworksError(
            'approval_state',
            'Nothing of the command waits any more: its time is over.',
          );
        }
        await saveDecision(query, commandId, { state: verdict, by: actor, at: new Date(now), reason });
        return moved;
      });
      if (agents === undefined) return;
      bus.publish('command.changed', commandId);
      if (verdict === 'approved') for (const agentId of new Set(agents)) dispatcher.wake(agentId);
    },
  };
}
