import type { CommandView } from '../api/schemas/commands.ts';
import { printable, type Terminal } from './terminal.ts';

/** How a command is shown to a person. */

/** `2 succeeded, 1 timed out` */
export function countsOf({ counts }: Pick<CommandView, 'counts'>): string {
  const parts = Object.entries(counts).map(([state, count]) => `${count} ${state.replaceAll('_', ' ')}`);
  return parts.join(', ') || 'none';
}

/** `1 held: awaits approval`: the counts, and what a person has to decide about it. */
export function stateOf(command: Pick<CommandView, 'counts' | 'approval' | 'rollout'>): string {
  const { approval, rollout } = command;
  const counts = countsOf(command);
  if (approval?.state === 'pending') return `${counts}: awaits approval`;
  if (rollout?.state === 'paused') return `${counts}: rollout paused`;
  if (rollout?.state === 'stopped' && rollout.counts.waiting > 0) return `${counts}: rollout stopped`;
  return counts;
}

/** `pending since 2026-11-21T08:00:00.000Z, asked for by alice` */
export function approvalLine({
  state,
  requestedBy,
  requestedAt,
  decidedBy,
  decidedAt,
  reason,
}: NonNullable<CommandView['approval']>): string {
  if (state === 'pending') return `pending since ${requestedAt}, asked for by ${requestedBy}`;
  const who = decidedBy === undefined ? '' : ` by ${decidedBy}`;
  const when = decidedAt === undefined ? '' : ` at ${decidedAt}`;
  return `${state}${who}${when}${reason === undefined ? '' : `: ${printable(reason)}`}`;
}

/** What is to be done about it, and by whom. */
export function noteApproval(terminal: Terminal, { commandId, approval }: CommandView): void {
  if (approval?.state !== 'pending') return;
  terminal.note('Waits for a second person. One who is not the one who submitted it types:');
  terminal.note(`  viworks commands approve ${commandId}`);
}
