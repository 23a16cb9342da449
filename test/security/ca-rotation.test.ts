import { X509Certificate } from 'node:crypto';
import { expect, test } from 'vitest';
import type { CertificateSettings } from '../../src/identity/certificates/settings.ts';
import { isIssuedBy } from '../../src/protocol/certificates/x509.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import { statement } from '../../src/storage/database.ts';
import { type Core, type CoreOptions, startCore, stopAfterTest } from '../support/app-core.ts';
import { ownCore } from '../support/app-core-own.ts';
import { certificatesOf, issuedBy, showing, strangeAuthority } from '../support/certificates.ts';
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

test('instances that start at the same moment make one authority and one pair of pins', async () => {
  const database = await createTestDatabase();
  const serverKey = generateKeyPair();
  const both = await Promise.all([0, 1].map(() => startCore(database.url, { ...required, serverKey })));
  for (const core of both) await eventually(() => certificatesOf(core).trust !== undefined);
  const [one, other] = await Promise.all(both.map((core) => certificatesOf(core).status()));
  expect(other?.authorities).toEqual(one?.authorities);
  expect(other?.pins).toEqual(one?.pins);
  for (const core of both) await core.stop();
  await database.drop();
});

test('a lost secret costs the authority its key: another one issues, and the one before is believed', async () => {
  const database = await createTestDatabase();
  const core = stopAfterTest(await startCore(database.url, required));
  const agent = await enrolled(core, 'stays');
  const held = await issuedBy(core, agent);
  await core.stop();
  const { serverKey, clock } = core;
  const commandSecret = new Uint8Array(32).fill(8);
  const again = stopAfterTest(
    await startCore(database.url, { ...required, serverKey, clock, commandSecret }),
  );
  expect(await states(again)).toEqual(['retiring', 'active']);
  await agent.connect({ core: again, tls: await showing(again, held) });
  await again.stop();
  await database.drop();
});

test('an operator’s own authority issues, and is replaced by the order in its file', async () => {
  const now = Date.now();
  const [first, second] = [strangeAuthority(now), strangeAuthority(now)];
  const der = ({ certificate }: typeof first) => new Uint8Array(certificate.raw);
  const database = await createTestDatabase();
  const start = (ownAuthorities: CertificateSettings['ownAuthorities'], more: CoreOptions = {}) =>
    startCore(database.url, { ...more, certificates: { clientCertificates: 'required', ownAuthorities } });
  const core = stopAfterTest(await start({ certificates: [der(first)], key: first.key }));
  const agent = await enrolled(core, 'own');
  const held = await issuedBy(core, agent);
  expect(isIssuedBy(new X509Certificate(held.cert), first.certificate)).toBe(true);
  await expect(certificatesOf(core).prepareAuthority('ada')).rejects.toMatchObject({
    code: 'certificate_state',
    message: expect.stringContaining('security.ca_certificate_path'),
  });
  await core.stop();
  const { serverKey, clock } = core;
  const both = { certificates: [der(second), der(first)], key: second.key };
  const next = stopAfterTest(await start(both, { serverKey, clock }));
  expect(await states(next)).toEqual(['active', 'retiring']);
  await agent.connect({ core: next, tls: await showing(next, held) });
  const renewed = await issuedBy(next, agent);
  await next.stop();
  const last = stopAfterTest(
    await start({ certificates: [der(second)], key: second.key }, { serverKey, clock }),
  );
  const connect = async (certificate: typeof held) =>
    agent.connect({ core: last, tls: await showing(last, certificate) });
  await connect(renewed);
  await expect(connect(held)).rejects.toThrow(/authentication_failed/);
  await last.stop();
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

test('what the server changes by itself is in the audit log, and a key that nothing names is deleted', async () => {
  const core = await (await ownCore(required)).start();
  const certificates = certificatesOf(core);
  const { items } = await core.audit.service.list({ actor: 'system:certificates' }, { size: 10 });
  const { authorities, pins, trust } = await certificates.status();
  const ids = authorities.map(({ authorityId }) => authorityId);
  expect(items).toMatchObject([
    {
      action: 'certificates.changeTrust',
      resourceId: String(trust.version),
      details: { added: [...ids, pins.primary, ...pins.backups], pin: pins.primary },
    },
  ]);
  const keys = async () => {
    const all = statement('tls_key_names', 'select name from tls_keys order by name');
    return (await core.database.query<{ name: string }>(all, [])).map(({ name }) => name);
  };
  await certificates.prepareAuthority('ada');
  await certificates.activateAuthority('ada');
  expect(await keys()).toHaveLength(4);
  await certificates.retireAuthority('ada', true);
  await certificates.rotatePins('ada', true);
  const now = await certificates.status();
  const named = [now.authorities[0]?.authorityId, now.pins.primary, ...now.pins.backups];
  expect(await keys()).toEqual(named.toSorted());
  // What they did is in the entries of their calls.
  const after = await core.audit.service.list({ actor: 'system:certificates' }, { size: 10 });
  expect(after.items).toHaveLength(1);
});
