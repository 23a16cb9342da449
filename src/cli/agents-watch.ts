import type { AgentView } from '../api/schemas/agents.ts';
import type { AppInputs } from '../api/trpc/router.ts';
import type { CliContext, ClientOptions } from './context.ts';
import { createKnown, startLive } from './live.ts';
import { printable } from './terminal.ts';

/** `viworks agents --watch`: a line for each agent, and for each change of one, until Ctrl-C. */
export async function watchAgents(
  context: CliContext,
  options: ClientOptions,
  selector: Extract<AppInputs['live']['agents'], object>['selector'],
): Promise<void> {
  const { terminal } = context;
  const run = startLive(context, options);
  const text = ({ agentId, status, site, statusReason }: AgentView) =>
    [agentId, status, site, printable(statusReason ?? '')].filter(Boolean).join('  ');
  const known = createKnown<AgentView>(
    ({ agentId }) => agentId,
    (one, other) => text(one) === text(other) && JSON.stringify(one.labels) === JSON.stringify(other.labels),
  );
  type Agents = {
    agents: AgentView[];
    gone: string[];
    snapshot?: { part: number; parts: number } | undefined;
  };
  run.follow<Agents>(
    (resume, handlers) => run.client.live.agents.subscribe({ selector, ...resume }, handlers),
    (data) => {
      const { changed, gone } = known.take({ ...data, items: data.agents });
      const now = new Date().toISOString();
      for (const agent of changed) {
        if (options.json) terminal.json({ event: 'agent', agent });
        else terminal.line(`${now}  ${text(agent)}`);
      }
      for (const { agentId } of gone) {
        if (options.json) terminal.json({ event: 'gone', agentId });
        else terminal.line(`${now}  ${agentId}  gone`);
      }
    },
  );
  await run.over;
}
