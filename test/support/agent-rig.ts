import { create, toBinary } from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import { ArgsEncoding } from '#gen/viworks/agent/v1/command_pb.js';
import {
  ExecArgsSchema,
  ExecResultSchema,
  SystemInfoArgsSchema,
  SystemInfoResultSchema,
} from '#gen/viworks/verbs/v1/system_pb.js';
import { type Agent, type AgentOptions, type AgentState, createAgent } from '../../src/agent/agent.ts';
import { defineExecutor, executorSet, type TypedOutcome } from '../../src/agent/executors/executor.ts';
import { createMemoryLedger, type Ledger } from '../../src/agent/ledger.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { commandFor, createQueue, createScriptedServer, type ScriptedServer } from './agent-server.ts';
import { createFakeTime, type FakeTime } from './agent-time.ts';

/** An agent on fake time, a scripted server, and executions that end when a test says so. */
export interface AgentRig {
  server: ScriptedServer;
  time: FakeTime;
  ledger: Ledger;
  agent: Agent;
  /** Executions of `exec` that began, in order. */
  begun: { shift(): Promise<BegunExecution>; count: number };
  /** Waits for the next state with this name, passing over others. */
  state<Name extends AgentState['name']>(name: Name): Promise<AgentState>;
}

export interface BegunExecution {
  argv: string[];
  signal: AbortSignal;
  end(outcome?: Omit<TypedOutcome<never>, 'output'>): void;
}

export function startRig(options: Partial<AgentOptions> & { server?: ScriptedServer } = {}): AgentRig {
  const { server = createScriptedServer(), ...rest } = options;
  const time = createFakeTime();
  const states = createQueue<AgentState>();
  const queue = createQueue<BegunExecution>();
  const begun = { shift: queue.shift, count: 0 };
  const exec = defineExecutor(ExecArgsSchema, ExecResultSchema, ({ argv }, { signal }) => {
    const { promise, resolve } = Promise.withResolvers<TypedOutcome<never>>();
    signal.addEventListener('abort', () => resolve({ interrupted: true }), { once: true });
    begun.count += 1;
    queue.push({ argv, signal, end: (outcome = { exitCode: 0 }) => resolve(outcome) });
    return promise;
  });
  const info = defineExecutor(SystemInfoArgsSchema, SystemInfoResultSchema, () =>
    Promise.resolve({ output: create(SystemInfoResultSchema, { hostname: 'here' }) }),
  );
  const ledger = options.ledger ?? createMemoryLedger(time.clock);
  const agent = createAgent({
    identity: server.identity,
    dialer: server.dialer,
    executors: executorSet([exec, info]),
    log: silentLogger,
    clock: time.clock,
    timers: time.timers,
    // The connection alone vouches for the command.
    verifyCommand: () => {},
    onState: states.push,
    ...rest,
    ledger,
  });
  agent.start();
  onTestFinished(async () => {
    const stopped = agent.stop(0);
    time.advance(60_000);
    await stopped;
  });
  return {
    server,
    time,
    ledger,
    agent,
    begun,
    async state(name) {
      for (;;) {
        const state = await states.shift();
        if (state.name === name) return state;
      }
    },
  };
}

/** COMMAND of an `exec`. */
export function execCommand(executionId: string, part: Parameters<typeof commandFor>[0] = {}) {
  return commandFor({
    executionId,
    verb: 'exec',
    args: toBinary(ExecArgsSchema, create(ExecArgsSchema, { argv: ['work'] })),
    argsEncoding: ArgsEncoding.PROTOBUF,
    ...part,
  });
}
