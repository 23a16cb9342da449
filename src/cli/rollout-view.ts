import type { CommandView } from '../api/schemas/commands.ts';
import type { RolloutView } from '../api/schemas/rollouts.ts';
import { formatDuration } from '../lib/duration.ts';
import { printable, type Terminal } from './terminal.ts';

/** How a rollout is shown to a person. */

/** `running: 6 of 20 let go; 4 succeeded, 1 failed, 0 undelivered, 1 in flight, 14 waiting` */
export function rolloutLine({ state, reason, released, counts }: RolloutView): string {
  const { succeeded, failed, undelivered, inFlight, waiting } = counts;
  const total = succeeded + failed + undelivered + inFlight + waiting;
  const why = reason === undefined ? '' : ` (${printable(reason)})`;
  return (
    `${state}${why}: ${released} of ${total} let go; ${succeeded} succeeded, ${failed} failed, ` +
    `${undelivered} undelivered, ${inFlight} in flight, ${waiting} waiting`
  );
}

export function planLine({ plan }: RolloutView): string {
  const { canary, batch, maxInFlight, failureThreshold, deliveryFailureThreshold } = plan;
  const rule = (what: string, threshold: typeof failureThreshold | undefined) =>
    threshold === undefined ? [] : [`${what} at ${threshold.percent}%/${threshold.minimumSample}`];
  return [
    `canary ${canary}${plan.pauseAfterCanary ? ', then a pause' : ''}`,
    `batches of ${'agents' in batch ? batch.agents : `${batch.percent}%`}`,
    ...(maxInFlight === undefined ? [] : [`at most ${maxInFlight} in flight`]),
    ...rule('stops', failureThreshold),
    ...rule('stops for undelivered ones', deliveryFailureThreshold),
    `${formatDuration(plan.deliveryTimeoutMs)} for each to be delivered`,
  ].join(', ');
}

/** What changes of a rollout by itself, and not with each execution. */
export const courseOf = ({ state, released, reason }: RolloutView): string =>
  `${state} ${released} ${reason ?? ''}`;

/** It was stopped, and nothing of it is under way any more: nobody needs to follow it. */
export const isAtRest = ({ rollout }: Pick<CommandView, 'rollout'>): boolean =>
  rollout?.state === 'stopped' && rollout.counts.inFlight === 0;

/** How a rollout ended, or what a person can do about it. */
export function noteOutcome(terminal: Terminal, { commandId, rollout }: CommandView): void {
  if (rollout === undefined) return;
  terminal.note(`rollout ${rolloutLine(rollout)}`);
  noteSteps(terminal, { commandId, rollout });
}

/** What a person can do about a rollout that waits for one. */
export function noteSteps(
  terminal: Terminal,
  { commandId, rollout }: Pick<CommandView, 'commandId' | 'rollout'>,
): void {
  if (rollout?.state === 'paused') terminal.note(`Go on: viworks rollouts resume ${commandId}`);
  if (rollout?.state !== 'stopped' || rollout.counts.waiting === 0) return;
  terminal.note(`Go on in spite of it: viworks rollouts resume ${commandId} --force`);
  terminal.note(`End it: viworks rollouts abort ${commandId}`);
}
