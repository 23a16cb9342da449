import { durationMs } from '@bufbuild/protobuf/wkt';
import type { ConnectRouter } from '@connectrpc/connect';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { wireLimits } from '../../protocol/limits.ts';
import type { ApiDeps } from '../deps.ts';
import { invalidRequest } from '../schemas/problems.ts';
import { createEnrollmentInput } from '../schemas/tokens.ts';
import { alertMethods } from './alerts.ts';
import { auditMethods } from './audit.ts';
import { certificateMethods } from './certificates.ts';
import {
  agentFilter,
  agentMessage,
  commandFilter,
  commandMessage,
  dryRunMessage,
  executionMessage,
  healthMessage,
  outputMessage,
  pageRequest,
  streamOf,
} from './convert.ts';
import { enrollmentMethods } from './enrollment.ts';
import { createGuard } from './guard.ts';
import { healthReportMethods } from './health-reports.ts';
import { historyMethods } from './history.ts';
import { keyMethods } from './keys.ts';
import { rolloutMethods } from './rollouts.ts';
import { scheduleMethods } from './schedules.ts';
import { inSpec, readSpec } from './submit.ts';
import { telemetryMethods } from './telemetry.ts';
import { templateMethods } from './templates.ts';
import { tokenMethods } from './tokens.ts';
import { verbMethods } from './verbs.ts';
import { partsOf } from './watch.ts';

/** The gRPC surface is for whoever has no TypeScript: the operations of tRPC as viworks.control.v1. */

const limits = {
  readMaxBytes: wireLimits.messageBytes,
  // A page of executions with all their output is as large as its caller asked for.
  writeMaxBytes: 64 * 1024 * 1024,
  // The longest deadline that a caller may set: a watch lasts as long as its command may run.
  maxTimeoutMs: 24 * 3_600_000,
};

export type ControlDeps = Pick<
  ApiDeps,
  | 'agents'
  | 'alerts'
  | 'telemetry'
  | 'audit'
  | 'trail'
  | 'commands'
  | 'healthReports'
  | 'rollouts'
  | 'templates'
  | 'schedules'
  | 'enrollmentTokens'
  | 'enrollment'
  | 'commandKeys'
  | 'certificates'
  | 'userTokens'
  | 'limits'
  | 'serviceTokens'
  | 'issuerKeys'
  | 'tokenLifetimeMs'
  | 'maxFleetShare'
  | 'health'
  | 'metrics'
  | 'log'
  | 'clock'
  | 'verbs'
>;

export function controlRoutes(deps: ControlDeps): (router: ConnectRouter) => void {
  const { health } = deps;
  const { unary, stream } = createGuard(deps);
  const { method } = ControlService;

  const listAgents = unary(method.listAgents, async (request, { core }) => {
    const page = await core.agents.list(agentFilter(request.filter), pageRequest(request));
    return { agents: page.items.map(agentMessage), nextPageToken: page.nextToken ?? '' };
  });

  const getAgent = unary(method.getAgent, async ({ agentId }, { core }) => {
    const { agent, telemetry } = await core.agents.get(agentId);
    return { agent: { ...agentMessage(agent), ...(telemetry && { telemetry }) } };
  });

  const setAgentStatus = unary(method.setAgentStatus, async ({ agentId, maintenance, reason }, { core }) => {
    return { agent: agentMessage(await core.agents.setMaintenance(agentId, maintenance, reason)) };
  });

  const createEnrollmentToken = unary(method.createEnrollmentToken, async (request, { actor, core }) => {
    const parsed = createEnrollmentInput.safeParse({
      site: request.site,
      labels: request.labels,
      uses: request.uses || 1,
      lifetimeMs: request.lifetime && Math.ceil(durationMs(request.lifetime)),
      agentId: request.agentId || undefined,
    });
    if (!parsed.success) throw invalidRequest(parsed.error, { lifetimeMs: 'lifetime', agentId: 'agent_id' });
    const { token, tokenId } = await core.enrollmentTokens.create(actor.subject, parsed.data);
    return { token, tokenId };
  });

  const submitCommand = unary(method.submitCommand, async ({ spec }, { actor, core }) => {
    try {
      return { command: commandMessage(await core.commands.submit(actor.subject, readSpec(spec))) };
    } catch (thrown) {
      throw inSpec(thrown);
    }
  });

  const planCommand = unary(method.planCommand, async ({ spec }, { core }) => {
    try {
      return dryRunMessage(await core.commands.plan(readSpec(spec)));
    } catch (thrown) {
      throw inSpec(thrown);
    }
  });

  const getCommand = unary(method.getCommand, async (request, { core }) => {
    const { command, executions } = await core.commands.get(request.commandId, pageRequest(request));
    return {
      command: commandMessage(command),
      executions: executions.items.map(executionMessage),
      nextPageToken: executions.nextToken ?? '',
    };
  });

  const listCommands = unary(method.listCommands, async (request, { core }) => {
    const page = await core.commands.list(commandFilter(request.filter), pageRequest(request));
    return { commands: page.items.map(commandMessage), nextPageToken: page.nextToken ?? '' };
  });

  const cancelCommand = unary(method.cancelCommand, async ({ commandId, reason }, { actor, core }) => {
    return { command: commandMessage(await core.commands.cancel(actor.subject, commandId, reason)) };
  });

  const watchCommand = stream(method.watchCommand, async function* ({ commandId, cursor }, { core, signal }) {
    let before = cursor;
    for await (const event of core.commands.watch(commandId, cursor || undefined, signal)) {
      for (const part of partsOf(event, before)) {
        yield {
          cursor: part.cursor,
          command: commandMessage(part.command),
          executions: part.executions.map(executionMessage),
          output: part.output.map(outputMessage),
        };
      }
      before = event.cursor;
    }
  });

  const readOutput = unary(method.readOutput, async ({ executionId, stream, offset, limit }, { core }) => {
    const name = streamOf(stream) ?? 'stdout';
    const range = await core.commands.output(executionId, name, Number(offset), limit || 256 * 1024);
    return { ...range, offset: BigInt(range.offset), totalBytes: BigInt(range.totalBytes ?? 0) };
  });

  const getHealth = unary(method.getHealth, async () => ({ health: healthMessage(await health.report()) }));

  const service = {
    listAgents,
    getAgent,
    setAgentStatus,
    createEnrollmentToken,
    submitCommand,
    planCommand,
    getCommand,
    listCommands,
    cancelCommand,
    watchCommand,
    readOutput,
    ...alertMethods({ unary }),
    ...telemetryMethods(deps, { unary }),
    ...auditMethods(deps, { unary }),
    ...enrollmentMethods(deps, { unary }),
    ...healthReportMethods({ unary }),
    ...historyMethods(deps, { unary }),
    ...verbMethods(deps, { unary }),
    ...rolloutMethods({ unary }),
    ...templateMethods({ unary }),
    ...scheduleMethods({ unary }),
    ...tokenMethods(deps, { unary }),
    ...keyMethods(deps, { unary }),
    ...certificateMethods(deps, { unary }),
    getHealth,
  };
  return (router) => {
    router.service(ControlService, service, limits);
  };
}
