import { enroll } from '../../src/agent/transport/enroll.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import { enrollRequest, type FakeAgent, openSession } from './fake-agent.ts';

export interface RemoteAgent extends FakeAgent {
  /** Of the server, as it is told at the enrolment. */
  serverKeys: { keyId: string; publicKey: Uint8Array }[];
}

/** A fake agent of a control plane that is a process of its own. */
export async function enrolledAt(url: string, token: string, agentId: string): Promise<RemoteAgent> {
  const key = generateKeyPair();
  const request = enrollRequest(token, agentId, key);
  const { incarnation, serverKeys } = await enroll({ url }, request, AbortSignal.timeout(20_000));
  return {
    agentId,
    incarnation,
    key,
    serverKeys: serverKeys.map(({ keyId, publicKey }) => ({ keyId, publicKey })),
    connect: (options = {}) => openSession(options.core ?? { url }, { agentId, incarnation, key }, options),
  };
}
