import { hash } from 'node:crypto';
import { detailsText, isPlain, isSuspicious } from '../../audit/details.ts';
import type { AuditTrail, TakenEntry } from '../../audit/trail.ts';
import type { CommandRow } from '../../storage/commands.ts';
import type { SubmitAuditRow } from '../../storage/submit-audit.ts';
import type { CheckedSpec } from './specs.ts';

/**
 * The entry of a submit in the audit log. It is stored with the command, by the same statement. Args stand there as
 * they are where they are short and look harmless; otherwise an excerpt, and where nothing had to be hidden, a digest
 * of all of them.
 */
export function entryOf(
  audit: Pick<AuditTrail, 'take'>,
  row: Omit<CommandRow, 'audit'>,
  { spec }: Pick<CheckedSpec, 'spec'>,
): Omit<TakenEntry, 'row'> & { row: SubmitAuditRow } {
  const { commandId: resourceId, actor, correlationId } = row;
  const call = { actor, action: 'commands.submit', resourceKind: 'command', resourceId };
  const plain = plainDetails(row);
  const taken = audit.take(
    { ...call, correlationId: correlationId ?? undefined },
    plain ?? detailsOf(row, spec),
  );
  // As long as nothing was put around them, the statement makes them of what it has already.
  if (taken.row.details !== plain) return taken;
  const { stored, left } = taken;
  return { stored, left, row: { ...taken.row, details: null } };
}

function plainDetails({
  verb,
  args,
  target,
  origin,
  retryOf,
  rollout,
  needsApproval,
}: Omit<CommandRow, 'audit'>): string | undefined {
  if (origin !== null || retryOf !== null || rollout !== null || needsApproval) return undefined;
  if (!isPlain(args) || !isPlain(target)) return undefined;
  return `{"verb":"${verb}","args":${args},"target":${target}}`;
}

function detailsOf(row: Omit<CommandRow, 'audit'>, spec: CheckedSpec['spec']): string {
  const { args, verb, origin, retryOf } = row;
  return detailsText({
    verb,
    args: spec.args,
    ...(isPlain(args) || isSuspicious(args) ? {} : { argsSha256: hash('sha256', row.argsBytes, 'hex') }),
    target: spec.target,
    ...(origin === null ? {} : { origin }),
    ...(retryOf === null ? {} : { retryOf }),
    ...(row.rollout === null ? {} : { rollout: true }),
    ...(row.needsApproval ? { needsApproval: true } : {}),
  });
}
