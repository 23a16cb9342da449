import { type ConsideredRow, everyAgent } from '../../storage/agents.ts';
import type { Database } from '../../storage/database.ts';
import type { Capacity } from '../dispatch/capacity.ts';
import type { AgentLinks } from '../dispatch/links.ts';
import { checkShare, limitOf } from '../targets/limits.ts';
import { createMismatch } from '../targets/selector.ts';
import { chooseOne, isCapable, resolveTarget, selectorOf } from '../targets/targets.ts';
import type { CommandPlan, SubmitInput, Target } from '../types.ts';
import { gateOf, placementOf } from './placement.ts';
import { checkSpec, type SpecDefaults } from './specs.ts';

/** A dry run: what a submit would do now, and why not elsewhere. Nothing is stored or handed over. */
export interface PlanDeps {
  database: Database;
  links: Pick<AgentLinks, 'get'>;
  capacity: Capacity;
  settings: SpecDefaults;
}

const listed = 1000;

export async function planCommand(deps: PlanDeps, input: SubmitInput): Promise<CommandPlan> {
  const { database, links, capacity, settings } = deps;
  const { spec, verb, rollout, needsApproval } = checkSpec(input, settings);
  const gate = gateOf({ approval: needsApproval, rollout: rollout !== undefined });
  const { target } = spec;
  const targetDeps = { query: database.query, links, capacity };
  // Agents that were named are held to what submit would say of them.
  if ('agents' in target)
    await resolveTarget(targetDeps, target, { verb: verb.name, capability: verb.capability }, input.within);
  const within = limitOf(target, input.within);
  const agents = await everyAgent(database.query, within?.sites);
  const leftOut: CommandPlan['leftOut'] = [];
  const chosen: ConsideredRow[] = [];
  const whyNot = createWhyNot(target, verb.capability);
  for (const agent of considered(agents, target)) {
    const reason = whyNot(agent);
    if (reason === undefined) chosen.push(agent);
    else leftOut.push({ agentId: agent.agentId, reason });
  }
  const kept = target.anyOne && chosen.length > 0 ? [await chooseOne(targetDeps, chosen)] : chosen;
  if (kept !== chosen) {
    const others = chosen.filter((agent) => agent.agentId !== kept[0]?.agentId);
    for (const { agentId } of others)
      leftOut.push({ agentId, reason: 'any one was asked for, and it is not the one' });
  }
  await checkShare(database.query, kept.length, within);
  return {
    spec,
    chosenCount: kept.length,
    leftOutCount: leftOut.length,
    chosen: kept.slice(0, listed).map((agent) => {
      const { agentId } = agent;
      const { state, reason } = placementOf(agent, links.get(agentId), verb.name, capacity, gate);
      return { agentId, state, reason };
    }),
    leftOut: leftOut.slice(0, listed),
  };
}

/** Of named agents only those; in the caller's order. */
function considered(agents: readonly ConsideredRow[], target: Target): readonly ConsideredRow[] {
  if (!('agents' in target)) return agents;
  const byId = new Map(agents.map((agent) => [agent.agentId, agent]));
  return [...new Set(target.agents)].flatMap((agentId) => byId.get(agentId) ?? []);
}

function createWhyNot(target: Target, capability: string): (agent: ConsideredRow) => string | undefined {
  const mismatch = 'agents' in target ? () => undefined : createMismatch(selectorOf(target));
  return (agent) =>
    mismatch(agent) ?? (isCapable(agent, capability) ? undefined : `it lacks the capability ${capability}`);
}
