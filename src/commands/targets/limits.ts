import { invalidField, ViworksError } from '../../errors.ts';
import type { Scope } from '../../lib/scope.ts';
import { countAgents } from '../../storage/agents.ts';
import type { Database } from '../../storage/database.ts';
import type { Target } from '../types.ts';

/** What a caller's limits say of a target. */

/**
 * The limits, where the target does not ask for a site beyond them by name.
 * @throws scope_exceeded
 */
export function limitOf(target: Target, scope: Scope | undefined): Scope | undefined {
  const sites = scope?.sites;
  if (sites === undefined) return scope;
  const asked = 'site' in target ? [target.site] : 'selector' in target ? (target.selector.sites ?? []) : [];
  const beyond = asked.find((site) => !sites.includes(site));
  if (beyond === undefined) return scope;
  const field = 'site' in target ? 'target.site' : 'target.selector.sites';
  const problem = `${JSON.stringify(beyond)} is beyond this token, which is for: ${sites.join(', ')}`;
  throw invalidField(field, problem, 'scope_exceeded');
}

/** How many of so many agents one command may go to; one is always allowed. */
const mostAgents = (total: number, sharePercent: number): number =>
  Math.max(1, Math.floor((total * sharePercent) / 100));

/** @throws scope_exceeded where it is a larger share of all agents than the caller may reach at once */
export async function checkShare(
  query: Database['query'],
  agents: number,
  scope: Scope | undefined,
): Promise<void> {
  const share = scope?.maxFleetShare;
  if (share === undefined || agents <= 1) return;
  const total = await countAgents(query);
  const most = mostAgents(total, share);
  if (agents <= most) return;
  const problem = `names ${agents} of ${total} agents, and a command of this role may go to ${share} % (${most})`;
  throw new ViworksError('scope_exceeded', `target: ${problem}; an admin may send it to more`, {
    fields: [{ field: 'target', problem }],
  });
}
