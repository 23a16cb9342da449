import { create } from '@bufbuild/protobuf';
import { onTestFinished } from 'vitest';
import { ExecArgsSchema, ExecResultSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { type Agent, type AgentOptions, type AgentState, createAgent } from '../../src/agent/agent.ts';
import { defineExecutor, executorSet } from '../../src/agent/executors/executor.ts';
import { createMemoryLedger } from '../../src/agent/ledger.ts';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import type { Core } from './app-core.ts';
import { enrolled } from './fake-agent.ts';

/** An agent of the real SDK on a core, whose `exec` only notes what it was told to run. */
export interface SdkAgent {
  agentId: string;
  agent: Agent;
  /** The first word of every argv that was run, in order. */
  ran: string[];
}

export async function sdkAgent(
  core: Core,
  agentId: string,
  options: Partial<AgentOptions> = {},
): Promise<SdkAgent> {
  const { incarnation, key } = await enrolled(core, agentId);
  const { keyId, publicKey } = core.serverKey;
  const ran: string[] = [];
  const exec = defineExecutor(ExecArgsSchema, ExecResultSchema, ({ argv }) => {
    ran.push(argv[0] ?? '');
    return Promise.resolve({ exitCode: 0, output: create(ExecResultSchema) });
  });
  const opened = Promise.withResolvers<void>();
  const agent = createAgent({
    identity: {
      agentId,
      incarnation,
      site: `site-of-${agentId}`,
      key,
      serverKeys: [{ keyId, publicKey, notAfter: undefined }],
    },
    dialer: createConnectDialer(core),
    executors: executorSet([exec]),
    ledger: createMemoryLedger(),
    log: silentLogger,
    executionCredit: 200,
    onState: (state: AgentState) => void (state.name === 'open' && opened.resolve()),
    ...options,
  });
  agent.start();
  onTestFinished(() => agent.stop(0));
  await opened.promise;
  return { agentId, agent, ran };
}
