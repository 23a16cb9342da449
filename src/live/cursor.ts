import type { Place } from './board.ts';

/** A place in the logs of one process, as text; no other process takes it for one of its own. */

/** @param epoch letters and digits that no other process has */
export const cursorAt = (epoch: string, { samples, agents }: Place): string =>
  `${epoch}.${samples}.${agents}`;

/** Undefined where it is of another process, or no cursor at all. */
export function placeOf(epoch: string, cursor: string | undefined): Place | undefined {
  const [, process, samples, agents] = /^([\w-]{1,64})\.(\d{1,15})\.(\d{1,15})$/.exec(cursor ?? '') ?? [];
  return process === epoch ? { samples: Number(samples), agents: Number(agents) } : undefined;
}
