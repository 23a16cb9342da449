import { ViworksError } from '../../errors.ts';
import type { StoredApproval } from '../../storage/approvals.ts';

/** A second person's word on what is dangerous: what there is to know of it, and who may give it. */

export const approvalStates = ['pending', 'approved', 'rejected', 'withdrawn', 'expired'] as const;

export interface Approval {
  /** Withdrawn: the command was cancelled first; expired: its time was over first. */
  state: (typeof approvalStates)[number];
  requestedBy: string;
  requestedAt: Date;
  decidedBy: string | undefined;
  decidedAt: Date | undefined;
  reason: string | undefined;
}

export type Verdict = 'approved' | 'rejected';

/** Which verbs need one: those that destroy, those that change something too, or none. */
export type ApprovalPolicy = 'destructive' | 'elevated' | 'never';

export function needsApproval(policy: ApprovalPolicy, risk: 'low' | 'elevated' | 'destructive'): boolean {
  if (policy === 'never') return false;
  return risk === 'destructive' || (policy === 'elevated' && risk === 'elevated');
}

/**
 * Whether there is something to decide, or the same person decided the same before.
 * @throws approval_own, approval_state
 */
export function judge(
  approval: Pick<StoredApproval, 'state' | 'requestedBy' | 'decidedBy'>,
  actor: string,
  verdict: Verdict,
): 'decide' | 'done' {
  if (approval.requestedBy === actor) {
    throw new ViworksError(
      'approval_own',
      'Who submitted a command cannot decide on it; a second person can.',
    );
  }
  if (approval.state === 'pending') return 'decide';
  if (approval.state === verdict && approval.decidedBy === actor) return 'done';
  const by = approval.decidedBy === null ? '' : ` by ${approval.decidedBy}`;
  throw new ViworksError('approval_state', `The command is ${approval.state}${by} already.`);
}
