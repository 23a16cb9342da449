import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { generateKeyPair, signBytes } from '../../src/protocol/keys.ts';
import { enrollRequestInput } from '../../src/protocol/signed.ts';
import { type ApiApp, startApiApp } from '../support/api-app.ts';
import { openSession } from '../support/fake-agent.ts';

/** Threat: a caller writes an address of its choice into X-Forwarded-For, for the audit log or to get round a limit. */

const believing = await startApiApp({}, { server: { trusted_proxies: ['127.0.0.0/8'] } });
const disbelieving = await startApiApp();
afterAll(() => Promise.all([believing.stop(), disbelieving.stop()]));

/** What the client wrote itself, and what the proxy in front of us saw. */
const forwarded = { 'x-forwarded-for': '192.0.2.1, 203.0.113.9' };

function connection(baseUrl: string) {
  const sessionManager = new Http2SessionManager(baseUrl);
  onTestFinished(() => sessionManager.abort());
  return { baseUrl, httpVersion: '2' as const, sessionManager };
}

type Call = (app: ApiApp, name: string) => Promise<string>;

/** Makes a token whose site tells the calls apart, and finds the address in its entry. */
async function addressOfToken(app: ApiApp, site: string): Promise<string> {
  const entries = await app.query(
    'test_address',
    `select address from audit_entries where action = 'tokens.createEnrollment' and details like $1`,
    [`%"${site}"%`],
  );
  expect(entries).toHaveLength(1);
  return String(entries[0]?.address);
}

const control =
  (make: (options: ReturnType<typeof connection>) => Transport): Call =>
  async (app, site) => {
    const authorization = `Bearer ${await app.tokenFor('admin')}`;
    const client = createClient(ControlService, make(connection(app.url)));
    await client.createEnrollmentToken({ site }, { headers: { authorization, ...forwarded } });
    return addressOfToken(app, site);
  };

const surfaces: [string, Call][] = [
  [
    'trpc',
    async (app, site) => {
      const authorization = `Bearer ${await app.tokenFor('admin')}`;
      const { status } = await fetch(`${app.url}/trpc/tokens.createEnrollment`, {
        method: 'POST',
        headers: { authorization, 'content-type': 'application/json', ...forwarded },
        body: JSON.stringify({ site }),
      });
      expect(status).toBe(200);
      return addressOfToken(app, site);
    },
  ],
  ['grpc', control(createGrpcTransport)],
  ['connect', control(createConnectTransport)],
  [
    'enrolment',
    async (app, agentId) => {
      const client = createClient(AgentService, createConnectTransport(connection(app.agentUrl)));
      const pair = generateKeyPair();
      const { publicKey } = pair;
      const signature = signBytes(pair, enrollRequestInput(agentId, publicKey));
      await client.requestEnrollment({ agentId, publicKey, signature }, { headers: forwarded });
      const [row] = await app.query(
        'test_request_address',
        'select remote_address from enrollment_requests where agent_id = $1',
        [agentId],
      );
      return String(row?.remote_address);
    },
  ],
];

test.each(surfaces)(
  '%s: the address is what a trusted proxy saw, and otherwise the peer’s',
  async (surface, call) => {
    expect(await call(believing, `proxied-${surface}`)).toBe('203.0.113.9');
    expect(await call(disbelieving, `direct-${surface}`)).toBe('127.0.0.1');
  },
);

test('an agent that is refused is told of with the address that it came from', async () => {
  const stranger = { agentId: 'stranger', incarnation: 1, key: generateKeyPair() };
  await expect(openSession({ url: disbelieving.agentUrl }, stranger, {})).rejects.toThrow(
    /authentication_failed/,
  );
  const entries = () =>
    disbelieving.query(
      'test_refused',
      `select address, code, details from audit_entries where actor = 'agent:stranger' and action = 'sessions.open'`,
    );
  await expect.poll(entries, { timeout: 10_000 }).toEqual([
    {
      address: '127.0.0.1',
      code: 'authentication_failed',
      details: expect.stringContaining('key_unknown'),
    },
  ]);
});
