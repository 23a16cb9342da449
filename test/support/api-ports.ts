import type { CommandService } from '../../src/commands/service.ts';
import type {
  Command,
  CommandFilter,
  CommandSpec,
  Execution,
  ExecutionState,
  SubmitInput,
  WatchEvent,
} from '../../src/commands/types.ts';
import { ViworksError } from '../../src/errors.ts';
import type { EnrollmentTokenSpec, EnrollmentTokens } from '../../src/identity/types.ts';
import { newId } from '../../src/lib/ids.ts';
import { decodeToken, type PageRequest, pageOf } from '../../src/lib/page.ts';
import { allowsVerb } from '../../src/lib/scope.ts';
import type { Agent, AgentFilter, AgentService } from '../../src/registry/types.ts';

import { newRollout } from './api-rollouts.ts';

/** A core in memory behind the ports of the API: small, complete in what the API can see of it. */

const epoch = new Date('2030-01-01T00:00:00.000Z');

export function agentNamed(agentId: string, change: Partial<Agent> = {}): Agent {
  return {
    agentId,
    site: 'berlin',
    labels: { rack: 'a1' },
    capabilities: ['system', 'exec'],
    software: 'viworks-agent/0.1.0',
    hostname: `${agentId}.example`,
    os: 'linux',
    kernel: '6.12',
    architecture: 'x64',
    containerEngine: '',
    status: 'online',
    statusReason: undefined,
    incarnation: 1,
    epoch: 7,
    generation: 7,
    keyId: '56475aa75463474c0285df5dbf2bcab7',
    lastSeenAt: epoch,
    createdAt: epoch,
    updatedAt: epoch,
    connection: { transport: 'connect', remoteAddress: '192.0.2.7', tls: true, connectedAt: epoch },
    ...change,
  };
}

export function page<T>(items: T[], { size, token }: PageRequest, keyOf: (item: T) => string) {
  const after = token === undefined ? -1 : items.findIndex((item) => keyOf(item) === decodeToken(token));
  return pageOf(items.slice(after + 1, after + 2 + size), size, keyOf);
}

export function memoryAgents(agents: Agent[]): AgentService {
  const find = (agentId: string): Agent => {
    const agent = agents.find((each) => each.agentId === agentId);
    if (agent === undefined) throw new ViworksError('agent_unknown', `There is no agent ${agentId}.`);
    return agent;
  };
  const matches = (agent: Agent, { site, sites, status, capability, labels = {}, os }: AgentFilter) =>
    (sites === undefined || sites.includes(agent.site)) &&
    (site === undefined || agent.site === site) &&
    (status === undefined || agent.status === status) &&
    (capability === undefined || agent.capabilities.includes(capability)) &&
    (os === undefined || agent.os === os) &&
    Object.entries(labels).every(([name, value]) => agent.labels[name] === value);
  return {
    async list(filter, request) {
      return page(
        agents.filter((agent) => matches(agent, filter)),
        request,
        (agent) => agent.agentId,
      );
    },
    async get(agentId) {
      return { agent: find(agentId), telemetry: { cpu: { usage: 0.25 } } };
    },
    async setMaintenance(agentId, maintenance, reason) {
      const statusReason = maintenance ? reason : undefined;
      return Object.assign(find(agentId), { status: maintenance ? 'maintenance' : 'online', statusReason });
    },
    async revoke(_actor, agentId, reason) {
      return Object.assign(find(agentId), { status: 'revoked', statusReason: reason, keyId: undefined });
    },
    async release(_actor, agentId) {
      return Object.assign(find(agentId), { status: 'online', statusReason: undefined });
    },
    rotateKey: async (_actor, agentId) => find(agentId),
    async remove(_actor, agentId) {
      agents.splice(agents.indexOf(find(agentId)), 1);
    },
  };
}

export interface MemoryCommands extends CommandService {
  /** Moves every execution of a command on; the watchers see it. */
  advance(commandId: string, state: ExecutionState, result?: Execution['result']): void;
  submitted: { actor: string; input: SubmitInput }[];
  /** The next call of any method fails with this. */
  failNext(error: unknown): void;
  /** Makes the watches look again although nothing changed. */
  touch(): void;
  /** Settles when the number of watches under way is as asked. */
  watchersAre(count: number): Promise<void>;
  watchedFrom: (string | undefined)[];
}

interface Entry {
  command: Command;
  executions: Execution[];
  events: WatchEvent[];
}

export function memoryCommands(): MemoryCommands {
  const entries = new Map<string, Entry>();
  const submitted: MemoryCommands['submitted'] = [];
  const watchedFrom: (string | undefined)[] = [];
  const changes = new EventTarget();
  const notify = () => changes.dispatchEvent(new Event('change'));
  const nextChange = () =>
    new Promise<void>((resolve) => {
      changes.addEventListener('change', () => resolve(), { once: true });
    });
  let failure: { error: unknown } | undefined;
  let watching = 0;

  const failIfAsked = () => {
    const asked = failure;
    failure = undefined;
    if (asked !== undefined) throw asked.error;
  };
  const find = (commandId: string): Entry => {
    failIfAsked();
    const entry = entries.get(commandId);
    if (entry === undefined) throw new ViworksError('command_unknown', `There is no command ${commandId}.`);
    return entry;
  };
  const record = (entry: Entry) => {
    const cursor = `c${entry.events.length + 1}`;
    entry.events.push(
      structuredClone({ cursor, command: entry.command, executions: entry.executions, output: [] }),
    );
    notify();
  };
  const advance: MemoryCommands['advance'] = (commandId, state, result) => {
    const entry = find(commandId);
    for (const execution of entry.executions) {
      Object.assign(execution, { state, result, revision: execution.revision + 1 });
      execution.transitions.push({ state, cause: 'as the test asks', at: epoch });
    }
    entry.command.counts = { [state]: entry.executions.length };
    entry.command.done = ['succeeded', 'failed', 'cancelled'].includes(state);
    record(entry);
  };

  return {
    submitted,
    watchedFrom,
    advance,
    failNext: (error) => {
      failure = { error };
    },
    touch: notify,
    async watchersAre(count) {
      while (watching !== count) await nextChange();
    },

    async submit(actor, input) {
      failIfAsked();
      submitted.push({ actor, input });
      const commandId = newId();
      const agentIds = 'agents' in input.target ? input.target.agents : ['alpha'];
      const executions = agentIds.map(
        (agentId): Execution => ({
          executionId: newId(),
          commandId,
          agentId,
          state: 'queued',
          attempt: 1,
          transitions: [{ state: 'queued', cause: 'submitted', at: epoch }],
          revision: 1,
          result: undefined,
        }),
      );
      const command: Command = {
        ...specOf(input),
        skipped: 0,
        retryOf: undefined,
        commandId,
        actor,
        createdAt: epoch,
        expiresAt: epoch,
        counts: { queued: executions.length },
        done: false,
        rollout: input.rollout && newRollout(input.rollout, executions.length),
        approval:
          input.correlationId === 'dangerous'
            ? {
                state: 'pending',
                requestedBy: actor,
                requestedAt: epoch,
                decidedBy: undefined,
                decidedAt: undefined,
                reason: undefined,
              }
            : undefined,
      };
      const entry = { command, executions, events: [] };
      entries.set(commandId, entry);
      record(entry);
      return structuredClone(command);
    },

    mayWatch: async (scope, commandId) => {
      const verb = entries.get(commandId)?.command.verb;
      return verb !== undefined && allowsVerb(scope, verb);
    },
    mayRead: async () => true,

    async output(_executionId, _stream, offset) {
      failIfAsked();
      const data = new TextEncoder().encode('hi').subarray(offset);
      return { attempt: 1, offset, data, complete: true, totalBytes: 2 };
    },

    async plan(input) {
      failIfAsked();
      const agentIds = 'agents' in input.target ? input.target.agents : ['a-1'];
      const spec = specOf(input);
      return {
        spec,
        chosenCount: agentIds.length,
        leftOutCount: 1,
        chosen: agentIds.map((agentId) => ({
          agentId,
          state: 'queued',
          reason: 'the agent is not connected',
        })),
        leftOut: [{ agentId: 'other', reason: 'its site is elsewhere' }],
      };
    },

    async get(commandId, request) {
      const { command, executions } = find(commandId);
      return { command, executions: page(executions, request, (execution) => execution.executionId) };
    },

    async list(filter: CommandFilter, request) {
      failIfAsked();
      const commands = [...entries.values()].map((entry) => entry.command).reverse();
      const matching = commands.filter(
        (command) => filter.verb === undefined || command.verb === filter.verb,
      );
      return page(matching, request, (command) => command.commandId);
    },

    async cancel(_actor, commandId) {
      advance(commandId, 'cancelled');
      return structuredClone(find(commandId).command);
    },

    async decide(actor, commandId, verdict, reason) {
      const { command } = find(commandId);
      if (command.approval === undefined) throw new ViworksError('approval_unknown', 'It needs no approval.');
      Object.assign(command.approval, { state: verdict, decidedBy: actor, decidedAt: epoch, reason });
      return structuredClone(command);
    },

    async retry(actor, commandId, { idempotencyKey }) {
      const { command } = find(commandId);
      if (!command.done) throw new ViworksError('command_state', 'The command is not done yet.');
      const { verb, args, target } = command;
      return { ...(await this.submit(actor, { verb, args, target, idempotencyKey })), retryOf: commandId };
    },

    async statistics({ by }) {
      failIfAsked();
      const counts = {
        total: 3,
        succeeded: 2,
        failed: 1,
        timedOut: 0,
        cancelled: 0,
        expired: 0,
        outcomeUnknown: 0,
      };
      const runMs = { p50: 1500, p95: 2000, maximum: 3000 };
      return [{ key: by, ...counts, waitMs: undefined, runMs }];
    },

    async *watch(commandId, cursor, signal) {
      watchedFrom.push(cursor);
      const entry = find(commandId);
      let at = entry.events.findIndex((event) => event.cursor === cursor) + 1;
      signal.addEventListener('abort', notify);
      watching += 1;
      notify();
      try {
        while (!signal.aborted) {
          const event = entry.events[at];
          if (event === undefined) {
            await nextChange();
            failIfAsked();
            continue;
          }
          at += 1;
          yield event;
          if (event.command.done) return;
        }
      } finally {
        signal.removeEventListener('abort', notify);
        watching -= 1;
        notify();
      }
    },
  };
}

export function memoryEnrollmentTokens(): EnrollmentTokens & { created: EnrollmentTokenSpec[] } {
  const created: EnrollmentTokenSpec[] = [];
  return {
    created,
    async create(_actor, spec) {
      created.push(spec);
      return {
        tokenId: '018f0000-0000-7000-8000-00000000000a',
        token: 'vwe_once',
        expiresAt: new Date(epoch.getTime() + spec.lifetimeMs),
      };
    },
  };
}

const specOf = (input: SubmitInput): CommandSpec => ({
  verb: input.verb,
  target: input.target,
  args: input.args ?? {},
  priority: input.priority ?? 'normal',
  timeoutMs: input.timeoutMs ?? 10_000,
  timeToLiveMs: input.timeToLiveMs ?? 3_600_000,
  idempotencyKey: input.idempotencyKey,
  correlationId: input.correlationId,
  maxRetries: input.maxRetries ?? 0,
  origin: undefined,
});
