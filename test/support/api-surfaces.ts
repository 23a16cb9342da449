import { ConnectError } from '@connectrpc/connect';
import { TRPCClientError } from '@trpc/client';
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { ExecutionState } from '#gen/viworks/control/v1/command_pb.js';
import type { AppInputs, AppRouter } from '../../src/api/client.ts';
import type { FieldProblem } from '../../src/errors.ts';
import type { Role } from '../../src/identity/types.ts';
import type { TestApi } from './api-server.ts';

/** The operations that every surface offers, in one form, so that one test runs over all of them. */
export interface Surface {
  listAgents(filter: { site?: string }, pageSize?: number, pageToken?: string): Promise<Listed>;
  getAgent(agentId: string): Promise<{ status: string; telemetry: unknown }>;
  setMaintenance(agentId: string, maintenance: boolean, reason: string): Promise<string>;
  submit(input: AppInputs['commands']['submit']): Promise<string>;
  getCommand(commandId: string): Promise<{ done: boolean; states: string[]; stdout: string | undefined }>;
  listCommands(verb?: string): Promise<string[]>;
  cancel(commandId: string, reason: string): Promise<boolean>;
  verbs(): Promise<string[]>;
  health(): Promise<{ status: string; components: string[] }>;
  createEnrollment(site: string): Promise<string>;
  /** Reads `limit` events, or all until the end. */
  watch(commandId: string, cursor?: string, limit?: number): Promise<{ cursors: string[]; states: string[] }>;
}

export interface Listed {
  ids: string[];
  next: string | undefined;
}

export interface SeenError {
  code: string;
  message: string;
  fields: FieldProblem[];
  retryAfterMs: number | undefined;
  retryable: boolean;
  /** As the surface itself classes it. */
  status: number;
}

export const surfaceNames = ['trpc', 'grpc', 'connect'] as const;
export type SurfaceName = (typeof surfaceNames)[number];

export function surfaceOf(api: TestApi, name: SurfaceName, role: Role = 'admin'): Promise<Surface> {
  return name === 'trpc' ? trpcSurface(api, role) : controlSurface(api, name, role);
}

async function trpcSurface(api: TestApi, role: Role): Promise<Surface> {
  const client = await api.trpc(role);
  return {
    async listAgents(filter, pageSize, pageToken) {
      const page = await client.agents.list.query({ filter, pageSize, pageToken });
      return { ids: page.agents.map((agent) => agent.agentId), next: page.nextPageToken };
    },
    async getAgent(agentId) {
      const { agent, telemetry } = await client.agents.get.query({ agentId });
      return { status: agent.status, telemetry };
    },
    async setMaintenance(agentId, maintenance, reason) {
      const { agent } = await client.agents.setStatus.mutate({ agentId, maintenance, reason });
      return `${agent.status} ${agent.statusReason ?? ''}`.trim();
    },
    submit: async (input) => (await client.commands.submit.mutate(input)).command.commandId,
    async getCommand(commandId) {
      const { command, executions } = await client.commands.get.query({ commandId });
      const stdout = executions[0]?.result?.stdout?.text;
      return { done: command.done, states: executions.map((execution) => execution.state), stdout };
    },
    async listCommands(verb) {
      const { commands } = await client.commands.list.query({ filter: { verb } });
      return commands.map((command) => command.commandId);
    },
    cancel: async (commandId, reason) =>
      (await client.commands.cancel.mutate({ commandId, reason })).command.done,
    verbs: async () => (await client.verbs.list.query()).verbs.map((verb) => verb.name),
    async health() {
      const { status, components } = await client.system.health.query();
      return { status, components: components.map((component) => `${component.name} ${component.status}`) };
    },
    createEnrollment: async (site) => (await client.tokens.createEnrollment.mutate({ site })).token,
    watch(commandId, cursor, limit = Number.POSITIVE_INFINITY) {
      return new Promise((resolve, reject) => {
        const seen: { cursors: string[]; states: string[] } = { cursors: [], states: [] };
        const subscription = client.commands.watch.subscribe(
          { commandId, lastEventId: cursor },
          {
            onData({ id, data }) {
              seen.cursors.push(id);
              seen.states.push(data.executions[0]?.state ?? '');
              if (seen.cursors.length < limit) return;
              subscription.unsubscribe();
              resolve(seen);
            },
            onComplete: () => resolve(seen),
            onError: reject,
          },
        );
      });
    },
  };
}

async function controlSurface(api: TestApi, protocol: 'grpc' | 'connect', role: Role): Promise<Surface> {
  const client = await api.control(protocol, role);
  const stateName = (state: ExecutionState) => ExecutionState[state].toLowerCase();
  return {
    async listAgents(filter, pageSize, pageToken) {
      const page = await client.listAgents({
        filter,
        ...(pageSize !== undefined && { pageSize }),
        ...(pageToken !== undefined && { pageToken }),
      });
      return { ids: page.agents.map((agent) => agent.agentId), next: page.nextPageToken || undefined };
    },
    async getAgent(agentId) {
      const { agent } = await client.getAgent({ agentId });
      return { status: agent?.status === 1 ? 'online' : 'other', telemetry: agent?.telemetry };
    },
    async setMaintenance(agentId, maintenance, reason) {
      const { agent } = await client.setAgentStatus({ agentId, maintenance, reason });
      return `${agent?.status === 4 ? 'maintenance' : 'online'} ${agent?.statusReason ?? ''}`.trim();
    },
    async submit({ target, args, timeoutMs, priority: _priority, ...rest }) {
      const { command } = await client.submitCommand({
        spec: {
          verb: rest.verb,
          args: args ?? {},
          target: {
            target:
              'agents' in target
                ? { case: 'agents', value: { agentIds: target.agents } }
                : 'site' in target
                  ? { case: 'site', value: target.site }
                  : { case: 'all', value: true },
          },
          ...(timeoutMs !== undefined && {
            timeout: { seconds: BigInt(Math.floor(timeoutMs / 1000)), nanos: (timeoutMs % 1000) * 1_000_000 },
          }),
          idempotencyKey: rest.idempotencyKey ?? '',
        },
      });
      return command?.commandId ?? '';
    },
    async getCommand(commandId) {
      const { command, executions } = await client.getCommand({ commandId });
      const stdout = executions[0]?.result?.stdout?.data;
      return {
        done: command?.done ?? false,
        states: executions.map((execution) => stateName(execution.state)),
        stdout: stdout && Buffer.from(stdout).toString(),
      };
    },
    async listCommands(verb) {
      const { commands } = await client.listCommands({ filter: { verb: verb ?? '' } });
      return commands.map((command) => command.commandId);
    },
    cancel: async (commandId, reason) =>
      (await client.cancelCommand({ commandId, reason })).command?.done ?? false,
    verbs: async () => (await client.listVerbs({})).verbs.map((verb) => verb.name),
    async health() {
      const { health } = await client.getHealth({});
      const components = health?.components.map((component) => `${component.name} ${component.status}`);
      return { status: health?.status ?? '', components: components ?? [] };
    },
    createEnrollment: async (site) => (await client.createEnrollmentToken({ site })).token,
    async watch(commandId, cursor = '', limit = Number.POSITIVE_INFINITY) {
      const seen: { cursors: string[]; states: string[] } = { cursors: [], states: [] };
      // Leaving the loop does not tell the server; the signal does.
      const left = new AbortController();
      for await (const event of client.watchCommand({ commandId, cursor }, { signal: left.signal })) {
        seen.cursors.push(event.cursor);
        seen.states.push(event.executions[0] ? stateName(event.executions[0].state) : '');
        if (seen.cursors.length >= limit) break;
      }
      left.abort();
      return seen;
    },
  };
}

/** How a call failed, read as a client of that surface reads it. */
export async function errorOf(call: Promise<unknown>): Promise<SeenError> {
  const thrown = await call.then(
    () => new Error('the call succeeded'),
    (error: unknown) => error,
  );
  if (thrown instanceof TRPCClientError) {
    const { data } = thrown as TRPCClientError<AppRouter>;
    if (data == null) throw thrown;
    const { code, fields, retryAfterMs, retryable, httpStatus } = data;
    return {
      code,
      message: thrown.message,
      fields: [...fields],
      retryAfterMs,
      retryable,
      status: httpStatus,
    };
  }
  if (!(thrown instanceof ConnectError)) throw thrown;
  const [info] = thrown.findDetails(ErrorInfoSchema);
  const [badRequest] = thrown.findDetails(BadRequestSchema);
  const [retry] = thrown.findDetails(RetryInfoSchema);
  return {
    code: info?.reason.toLowerCase() ?? '',
    message: thrown.rawMessage,
    fields: (badRequest?.fieldViolations ?? []).map(({ field, description }) => ({
      field,
      problem: description,
    })),
    retryAfterMs: retry?.retryDelay && Number(retry.retryDelay.seconds) * 1000 + retry.retryDelay.nanos / 1e6,
    retryable: info?.metadata.retryable === 'true',
    status: thrown.code,
  };
}
