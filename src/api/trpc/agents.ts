import {
  agentView,
  getAgentInput,
  getAgentOutput,
  listAgentsInput,
  listAgentsOutput,
  setAgentStatusInput,
  setAgentStatusOutput,
} from '../schemas/agents.ts';
import { pageRequest } from '../schemas/common.ts';
import { procedure, router } from './trpc.ts';

export function agentsRouter() {
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
  });
}
