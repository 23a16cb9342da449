import { agentText, fleetText, trendsText } from '../../health/text.ts';
import {
  agentHealthView,
  fleetHealthView,
  healthReportInput,
  healthReportOutput,
  trendsInput,
  trendsOutput,
  trendsView,
} from '../schemas/health.ts';
import { procedure, router } from './trpc.ts';

/** How agents are, and where they go. */
export function healthRouter() {
  return router({
    /** Of an agent, a site, or all. */
    report: procedure
      .input(healthReportInput)
      .output(healthReportOutput)
      .query(async ({ ctx, input }) => {
        const { healthReports } = ctx.core;
        if ('agentId' in input) {
          const agent = await healthReports.agent(input.agentId);
          return { agent: agentHealthView(agent), text: agentText(agent) };
        }
        const fleet = await healthReports.fleet('site' in input ? { site: input.site } : {});
        return { fleet: fleetHealthView(fleet), text: fleetText(fleet) };
      }),

    /** Of an agent: its disks, with when they will be full, and its load. */
    trends: procedure
      .input(trendsInput)
      .output(trendsOutput)
      .query(async ({ ctx, input }) => {
        const report = await ctx.core.healthReports.trends(input.agentId, input.days);
        return { ...trendsView(report), text: trendsText(report) };
      }),
  });
}
