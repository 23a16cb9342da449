import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRevokedCertificates } from '../../src/identity/certificates/revoked.ts';
import { type Core, startCore } from '../support/app-core.ts';
import { ownCore } from '../support/app-core-own.ts';
import {
  certificatesOf,
  issuedBy,
  issuedByStranger,
  showing,
  strangeAuthority,
} from '../support/certificates.ts';
import { type ConnectOptions, enrolled, type FakeAgent, openSession } from '../support/fake-agent.ts';
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts';

/** Where certificates are required, an agent comes in with its own alone, and the key of its identity. */

let database: TestDatabase;
let core: Core;
const reasons: string[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  core = await startCore(database.url, {
    certificates: { clientCertificates: 'required' },
    authentication: { onRefused: (reason, { agentId }) => void reasons.push(`${agentId} ${reason}`) },
  });
});

afterAll(async () => {
  await core.stop();
  await database.drop();
});

/** Refused with the one code for everybody; the reason is for records. */
async function refused(
  agent: Pick<FakeAgent, 'agentId' | 'incarnation' | 'key'>,
  options: ConnectOptions,
  reason: string,
) {
  const failure = await openSession(core, agent, options).then(
    () => undefined,
    (error: Error) => error,
  );
  expect(failure?.message).toMatch(/authentication_failed/);
  expect(reasons).toContain(`${agent.agentId} ${reason}`);
}

test.each(['connect', 'websocket'] as const)(
  'with its own certificate an agent comes in over %s',
  async (transport) => {
    const agent = await enrolled(core, `own-${transport}`);
    const session = await agent.connect({ transport, tls: await showing(core, await issuedBy(core, agent)) });
    expect(session.welcome).toMatchObject({ issuesCertificates: true });
    expect(session.welcome.tlsTrust?.document.byteLength).toBeGreaterThan(0);
  },
);

test.each(['connect', 'websocket'] as const)('without one it does not, over %s', async (transport) => {
  const agent = await enrolled(core, `none-${transport}`);
  await refused(agent, { transport, tls: await showing(core) }, 'certificate_missing');
});

test.each(['connect', 'websocket'] as const)('nor with that of another agent, over %s', async (transport) => {
  const agent = await enrolled(core, `borrower-${transport}`);
  const other = await enrolled(core, `owner-${transport}`);
  const tls = await showing(core, await issuedBy(core, other));
  await refused(agent, { transport, tls }, 'certificate_wrong_agent');
});

test('nor with one of another authority, whatever it says', async () => {
  const agent = await enrolled(core, 'strange');
  const certificate = issuedByStranger(strangeAuthority(core.clock.now()), agent, core.clock.now());
  await refused(agent, { tls: await showing(core, certificate) }, 'certificate_untrusted');
});

test('nor with the one of an enrolment before, or after it was revoked', async () => {
  const agent = await enrolled(core, 'again');
  const certificate = await issuedBy(core, agent);
  await agent.connect({ tls: await showing(core, certificate) });
  const next = await enrolled(core, 'again', { again: true });
  await refused(next, { tls: await showing(core, certificate) }, 'certificate_wrong_agent');
  const own = await issuedBy(core, next);
  await next.connect({ tls: await showing(core, own) });
  await core.agents.revoke('ada', 'again', 'stolen');
  await refused(next, { tls: await showing(core, own) }, 'key_unknown');
});

test('nor with one that was taken back; a session that came in with it ends', async () => {
  const agent = await enrolled(core, 'taken');
  const certificate = await issuedBy(core, agent);
  const session = await agent.connect({ tls: await showing(core, certificate) });
  await certificatesOf(core).revoke('ada', certificate.serial, 'copied');
  await session.next('drain');
  await session.closed;
  await refused(agent, { tls: await showing(core, certificate) }, 'certificate_revoked');
  await agent.connect({ tls: await showing(core, await issuedBy(core, agent)) });
});

test('however many are taken back, all of them are read, and again only what changed is news', async () => {
  const agents = await Promise.all([1, 2, 3, 4, 5].map((number) => enrolled(core, `many-${number}`)));
  const held = await Promise.all(agents.map((agent) => issuedBy(core, agent)));
  const revoked = createRevokedCertificates({ ...core, rowsAtOnce: 2 });
  await revoked.read();
  for (const { serial } of held) await certificatesOf(core).revoke('ada', serial, 'copied');
  expect(held.map(({ serial }) => revoked.has(serial))).not.toContain(true);
  // Those that are asked for before a look begins share it.
  expect(await Promise.all([revoked.read(), revoked.read()])).toEqual([true, true]);
  expect(held.map(({ serial }) => revoked.has(serial))).not.toContain(false);
  expect(await revoked.read()).toBe(false);
});

test('a certificate does not replace the key of the identity', async () => {
  const agent = await enrolled(core, 'proof');
  const other = await enrolled(core, 'prover');
  const tls = await showing(core, await issuedBy(core, agent));
  await refused({ ...agent, key: other.key }, { tls }, 'key_unknown');
});

test('where they are not required, none is fine, and a wrong one is not', async () => {
  const own = await (await ownCore({ certificates: { clientCertificates: 'on' } })).start();
  const [agent, other] = [await enrolled(own, 'free'), await enrolled(own, 'owner')];
  await agent.connect({ tls: await showing(own) });
  await agent.connect({ tls: await showing(own, await issuedBy(own, agent)) });
  const tls = await showing(own, await issuedBy(own, other));
  await expect(agent.connect({ tls })).rejects.toThrow(/authentication_failed/);
});

test('nor one that is over, and a session does not outlive its certificate', async () => {
  const agent = await enrolled(core, 'late');
  const tls = await showing(core, await issuedBy(core, agent));
  const session = await agent.connect({ tls });
  core.clock.advance(25 * 3_600_000);
  await session.next('drain');
  await session.closed;
  await refused(agent, { tls }, 'certificate_out_of_time');
});
