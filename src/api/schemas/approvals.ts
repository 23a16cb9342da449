import { z } from 'zod';
import { type Approval, approvalStates } from '../../commands/approvals/decide.ts';
import { commandIdSchema, optionalTimeView, reasonSchema, timeSchema, timeView } from './common.ts';

/** A second person's word on a command that is dangerous. */

export const approvalSchema = z.strictObject({
  /** withdrawn: cancelled before somebody decided; expired: its time was over first. */
  state: z.enum(approvalStates),
  /** Who submitted the command, and so cannot decide. */
  requestedBy: z.string(),
  requestedAt: timeSchema,
  decidedBy: z.string().optional(),
  decidedAt: timeSchema.optional(),
  reason: z.string().optional(),
});

export function approvalView({ requestedAt, decidedAt, ...rest }: Approval): z.output<typeof approvalSchema> {
  return { ...rest, requestedAt: timeView(requestedAt), decidedAt: optionalTimeView(decidedAt) };
}

export const decideInput = z.strictObject({ commandId: commandIdSchema, reason: reasonSchema.default('') });
