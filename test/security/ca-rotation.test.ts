import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import { isIssuedBy } from '../../src/protocol/certificates/x509.ts';
import { statement } from '../../src/storage/database.ts';
import { type Core, startCore, stopAfterTest } from '../support/app-core.ts';
import { ownCore } from '../support/app-core-own.ts';
import { certificatesOf, issuedBy, showing } from '../support/certificates.ts';
import { enrolled } from '../support/fake-agent.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { eventually, type TlsAgent, tlsAgent } from '../support/tls-agent.ts';

/** The authority is replaced in steps: nobody loses a session, and who was away comes back. */

const required = { certificates: { clientCertificates: 'required' } } as const;

const states = async (core: Core) =>
  (await certificatesOf(core).status()).authorities.map(({ state }) => state);

const sessionsOf = ({ states }: TlsAgent) =>
  states.flatMap((state) => (state.name === 'open' ? [state.sessionId] : []));

const waiting = async (core: Core) => (await certificatesOf(core).status()).waiting;

test('agents live through all phases without losing a session', async () => {
  const core = await (await ownCore(required)).start();
  const agents = await Promise.all(['a', 'b', 'c'].map((name) => tlsAgent(core, name)));
  for (const agent of agents) {
    await agent.start();
    await agent.opened();
  }
  const certificates = certificatesOf(core);
  await certificates.prepareAuthority('ada');
  expect(await states(core)).toEqual(['active', 'prepared']);
  await expect(certificates.prepareAuthority('ada')).rejects.toMatchObject({ code: 'certificate_state' });
  await eventually(async () => (await waiting(core)).withoutTrust.total === 0);
  await certificates.activateAuthority('ada');
  expect(await states(core)).toEqual(['retiring', 'active']);
  await eventually(async () => (await waiting(core)).withOldCertificate.total === 0);
  await eventually(async () => (await waiting(core)).withoutTrust.total === 0);
  await certificates.retireAuthority('ada', false);
  expect(await states(core)).toEqual(['active']);
  for (const agent of agents) {
    await eventually(() => agent.store.certificate?.current === true);
    expect(sessionsOf(agent)).toHaveLength(1);
    expect(agent.states.at(-1)?.name).toBe('open');
  }
  await expect(certificates.retireAuthority('ada', false)).rejects.toMatchObject({
    code: 'certificate_state',
  });
});

test('retiring is refused as long as an agent does not follow, and says which', async () => {
  const core = await (await ownCore(required)).start();
  const away = await tlsAgent(core, 'away');
  await away.start();
  await away.opened();
  await away.stop();
  const certificates = certificatesOf(core);
  await certificates.prepareAuthority('ada');
  await certificates.activateAuthority('ada');
  const refused = { code: 'certificate_state', message: expect.stringContaining('away') };
  await expect(certificates.retireAuthority('ada', false)).rejects.toMatchObject(refused);
  expect(await waiting(core)).toMatchObject({
    withoutTrust: { total: 1, agentIds: ['away'] },
    withOldCertificate: { total: 1, agentIds: ['away'] },
  });
  // One that was away during prepare and activate comes back with what it has, and follows.
  await away.start();
  await away.opened();
  await eventually(async () => (await waiting(core)).withOldCertificate.total === 0);
  await eventually(async () => (await waiting(core)).withoutTrust.total === 0);
  await certificates.retireAuthority('ada', false);
  expect(away.states.filter(({ name }) => name === 'waiting')).toEqual([]);
});

test('an agent that was away until its authority was retired by force comes back too', async () => {
  const core = await (await ownCore(required)).start();
  const away = await tlsAgent(core, 'long-away');
  const certificates = certificatesOf(core);
  await certificates.prepareAuthority('ada');
  await certificates.activateAuthority('ada');
  await certificates.retireAuthority('ada', true);
  await away.start();
  // Its certificate counts no more: it finds out by being refused once.
  await away.opened();
  expect(away.states.filter(({ name }) => name === 'waiting')).toHaveLength(1);
  expect(away.store.certificate?.current).toBe(true);
});

test('a certificate of the authority that was retired is refused, and a session with it ends', async () => {
  const core = await (await ownCore(required)).start();
  const agent = await enrolled(core, 'old');
  const tls = await showing(core, await issuedBy(core, agent));
  const session = await agent.connect({ tls });
  const certificates = certificatesOf(core);
  await certificates.prepareAuthority('ada');
  await session.next('tlsTrust');
  await certificates.activateAuthority('ada');
  await session.beat();
  await certificates.retireAuthority('ada', true);
  await session.next('drain');
  await session.closed;
  await expect(agent.connect({ tls })).rejects.toThrow(/authentication_failed/);
});

test('what was prepared can be dropped, and instances with the same secret share an authority', async () => {
  const database = await createTestDatabase();
  const core = stopAfterTest(await startCore(database.url, required));
  await certificatesOf(core).prepareAuthority('ada');
  await certificatesOf(core).dropAuthority('ada');
  expect(await states(core)).toEqual(['active']);
  const { serverKey, clock } = core;
  const other = stopAfterTest(await startCore(database.url, { ...required, serverKey, clock }));
  const [ours, theirs] = await Promise.all(
    [core, other].map(async (one) => (await certificatesOf(one).status()).authorities),
  );
  expect(theirs).toEqual(ours);
  const agent = await enrolled(core, 'both');
  await agent.connect({ core: other, tls: await showing(core, await issuedBy(core, agent)) });
  await other.stop();
  await core.stop();
  await database.drop();
});

test('an authority that somebody writes into the database is not believed', async () => {
  const { start } = await ownCore(required);
  const core = await start();
  const before = await states(core);
  await core.database.query(
    statement(
      'forge_trust',
      `insert into tls_trust_documents (version, document, signature, signed_by, created_at, created_by)
       select version + 1000, document, decode(repeat('00', 64), 'hex'), signed_by, created_at, created_by
       from tls_trust_documents`,
    ),
    [],
  );
  await core.stop();
  const again = await start();
  expect(await states(again)).toEqual(before);
  const [authority] = certificatesOf(again).tls?.clientAuthorities ?? [];
  const server = new X509Certificate(certificatesOf(again).tls?.cert ?? '');
  expect(isIssuedBy(server, new X509Certificate(authority ?? ''))).toBe(true);
});
