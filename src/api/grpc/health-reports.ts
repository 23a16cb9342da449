import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { agentText, fleetText, trendsText } from '../../health/text.ts';
import type { Guard } from './guard.ts';
import { agentHealthMessage, fleetHealthMessage, trendMessage } from './health-convert.ts';

/** Days that trends look at where nobody says. */
const usualDays = 7;

/** The methods of ControlService that say how agents are. */
export function healthReportMethods({ unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    getHealthReport: unary(method.getHealthReport, async ({ of }, { core: { healthReports } }) => {
      if (of.case === 'agentId') {
        const agent = await healthReports.agent(of.value);
        return {
          report: { case: 'agent' as const, value: agentHealthMessage(agent) },
          text: agentText(agent),
        };
      }
      const fleet = await healthReports.fleet(of.case === 'site' ? { site: of.value } : {});
      return { report: { case: 'fleet' as const, value: fleetHealthMessage(fleet) }, text: fleetText(fleet) };
    }),

    getTrends: unary(method.getTrends, async ({ agentId, days }, { core: { healthReports } }) => {
      const report = await healthReports.trends(agentId, days || usualDays);
      return {
        agentId,
        from: timestampFromDate(report.from),
        to: timestampFromDate(report.to),
        trends: report.trends.map(trendMessage),
        text: trendsText(report),
      };
    }),
  };
}
