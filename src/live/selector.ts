import { createMismatch, type NamingSelector, type Selectable } from '../commands/targets/selector.ts';

/** Which agents somebody looks at. Every part that is set must match; of several values any, of labels and capabilities all. */
export type LiveSelector = NamingSelector;

/** @param within sites that the caller is limited to; undefined does not limit */
export function createMatcher(
  selector: LiveSelector,
  within: readonly string[] | undefined,
): (agent: Selectable) => boolean {
  const mismatch = createMismatch(selector);
  const allowed = within && new Set(within);
  return (agent) => (allowed === undefined || allowed.has(agent.site)) && mismatch(agent) === undefined;
}

/** Whether it looks at anything but sites, which alerts know themselves. */
export const looksAtAgents = ({ labels, capabilities, os, statuses }: LiveSelector): boolean =>
  [labels, capabilities, os, statuses].some((part) => part !== undefined);
