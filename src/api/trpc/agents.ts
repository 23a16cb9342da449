import type { ApiDeps } from '../deps.ts';
import {
  agentIdInput,
  agentOutput,
  agentView,
  getAgentInput,
  getAgentOutput,
  listAgentsInput,
  listAgentsOutput,
  removeAgentOutput,
  revokeAgentInput,
  setAgentStatusInput,
  setAgentStatusOutput,
} from '../schemas/agents.ts';
import { pageRequest } from '../schemas/common.ts';
import { procedure, router } from './trpc.ts';

export function agentsRouter({ agents }: Pick<ApiDeps, 'agents'>) {
  return router({
    list: procedure
      .input(listAgentsInput)
      .output(listAgentsOutput)
      .query(async ({ ctx, input }) => {
        const page = await ctx.core.agents.list(input.filter, pageRequest(input));
        return { agents: page.items.map(agentView), nextPageToken: page.nextToken };
      }),

    get: procedure
      .input(getAgentInput)
      .output(getAgentOutput)
      .query(async ({ ctx, input }) => {
        const { agent, telemetry } = await ctx.core.agents.get(input.agentId);
        return { agent: agentView(agent), telemetry };
      }),

    /** Takes an agent out of service, or puts it back. */
    setStatus: procedure
      .input(setAgentStatusInput)
      .output(setAgentStatusOutput)
      .mutation(async ({ ctx, input }) => {
        const agent = await ctx.core.agents.setMaintenance(input.agentId, input.maintenance, input.reason);
        return { agent: agentView(agent) };
      }),

    /** Refuses its keys from now on, ends its session and cancels its queue. */
    revoke: procedure
      .input(revokeAgentInput)
      .output(agentOutput)
      .mutation(async ({ ctx, input }) => {
        return { agent: agentView(await agents.revoke(ctx.actor.subject, input.agentId, input.reason)) };
      }),

    /** Lets an agent connect again of which two copies were seen. */
    release: procedure
      .input(agentIdInput)
      .output(agentOutput)
      .mutation(async ({ ctx, input }) => {
        return { agent: agentView(await agents.release(ctx.actor.subject, input.agentId)) };
      }),

    /** Has the agent make itself a new key. */
    rotateKey: procedure
      .input(agentIdInput)
      .output(agentOutput)
      .mutation(async ({ ctx, input }) => {
        return { agent: agentView(await agents.rotateKey(ctx.actor.subject, input.agentId)) };
      }),

    /** Takes a revoked agent out of the registry. */
    remove: procedure
      .input(agentIdInput)
      .output(removeAgentOutput)
      .mutation(async ({ ctx, input }) => {
        await agents.remove(ctx.actor.subject, input.agentId);
        return {};
      }),
  });
}
