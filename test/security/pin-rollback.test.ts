import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openTlsStore } from '../../src/agent/tls-store.ts';
import { createConnectDialer } from '../../src/agent/transport/connect.ts';
import { enroll } from '../../src/agent/transport/enroll.ts';
import { createFallbackDialer } from '../../src/agent/transport/fallback.ts';
import type { TlsTerms } from '../../src/agent/transport/tls.ts';
import { createWebSocketDialer } from '../../src/agent/transport/websocket.ts';
import type { ViworksError } from '../../src/errors.ts';
import { openTlsFiles } from '../../src/identity/certificates/tls-files.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { pinOf, pinOfSpki, pinText } from '../../src/protocol/certificates/pins.ts';
import { signTrust, type TrustDocument } from '../../src/protocol/certificates/trust-document.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';
import { statement } from '../../src/storage/database.ts';
import { type Core, createTestClock, startCore, stopAfterTest } from '../support/app-core.ts';
import { ownCore } from '../support/app-core-own.ts';
import { certificatesOf, pinsOf } from '../support/certificates.ts';
import { enrollRequest } from '../support/fake-agent.ts';
import { createTestDatabase } from '../support/postgres.ts';
import { eventually, tlsAgent } from '../support/tls-agent.ts';
import { type Certificate, makeCertificate } from '../support/tls-certificate.ts';

/** An agent keeps the newest trust that it saw, and speaks to no server but one whose key is in it. */

const dayMs = 86_400_000;
const serverKey = generateKeyPair();

async function storeIn() {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-trust-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const open = () => openTlsStore(dir, { signers: [serverKey], log: silentLogger });
  return { open, store: await open() };
}

const pinNamed = (name: string) => pinOfSpki(Buffer.from(name));

function documentOf(version: number, now: number, parts: Partial<TrustDocument> = {}): TrustDocument {
  const pins = [pinNamed(`primary of ${version}`), pinNamed(`backup of ${version}`)];
  return { version, issuedAt: now, expiresAt: now + dayMs, authorities: [], pins, ...parts };
}

const stored = statement('stored_trust', 'select version from agent_trust where agent_id = $1');

/** As far as the server knows. */
async function storedBy(core: Core, agentId: string): Promise<bigint> {
  const [row] = await core.database.query<{ version: string }>(stored, [agentId]);
  return BigInt(row?.version ?? 0);
}

test('older, expired and unsigned sets are refused, over restarts too', async () => {
  const now = Date.now();
  const { store, open } = await storeIn();
  const accept = (document: TrustDocument, key = serverKey) => store.accept(signTrust(document, key), now);
  expect(await accept(documentOf(5, now))).toBe(5n);
  expect(await accept(documentOf(4, now))).toBe(5n);
  expect(await accept(documentOf(6, now, { expiresAt: now - 1 }))).toBe(5n);
  expect(() => accept(documentOf(7, now), generateKeyPair())).toThrow(/not known here/);
  const forged = signTrust(documentOf(8, now), serverKey);
  forged.document[3] = (forged.document[3] ?? 0) ^ 1;
  expect(() => store.accept(forged, now)).toThrow(/signature is wrong/);
  expect(store.terms(now).pins).toEqual(documentOf(5, now).pins);
  const again = await open();
  expect(again.trustVersion).toBe(5n);
  expect(await again.accept(signTrust(documentOf(3, now), serverKey), now)).toBe(5n);
  expect(await again.accept(signTrust(documentOf(9, now), serverKey), now)).toBe(9n);
  expect((await open()).terms(now)).toMatchObject({ pins: documentOf(9, now).pins, pinsExpired: false });
  expect((await open()).terms(now + 2 * dayMs)).toMatchObject({ pinsExpired: true });
});

test('a server with another key hears nothing of an agent, on no transport', async () => {
  const core = await (await ownCore({ certificates: {} })).start();
  const wrong: TlsTerms = { pins: [pinNamed('another server')] };
  const to = { url: core.url, tls: wrong };
  const handler = { onEnvelope() {}, onClose() {} };
  const refused = { code: 'server_untrusted', message: expect.stringMatching(/its key is sha256\//) };
  const dialers = [createConnectDialer(to), createWebSocketDialer(to)];
  for (const dialer of [...dialers, createFallbackDialer(dialers)])
    await expect(dialer.dial(handler, AbortSignal.timeout(10_000))).rejects.toMatchObject(refused);
  const { token } = await core.enrollment.create('test', {
    site: 's',
    labels: {},
    uses: 1,
    lifetimeMs: 60_000,
  });
  const request = enrollRequest(token, 'first-contact', generateKeyPair());
  await expect(enroll(to, request, AbortSignal.timeout(10_000))).rejects.toMatchObject(refused);
  expect(await core.count('agents')).toBe(0);
  // Out of date, pins exclude nobody: then an authority has to vouch, and here none does.
  const late = createConnectDialer({ ...to, tls: { ...wrong, pinsExpired: true } });
  await expect(late.dial(handler, AbortSignal.timeout(10_000))).rejects.toMatchObject({
    code: 'server_untrusted',
    message: expect.stringMatching(/does not hold/),
  });
  const right = createConnectDialer({ ...to, tls: { pins: await pinsOf(core), pinsExpired: true } });
  (await right.dial(handler, AbortSignal.timeout(10_000))).destroy();
});

test('agents know the backup before it is used, and reach the server through two rotations', async () => {
  const core = await (await ownCore({ certificates: {} })).start();
  const certificates = certificatesOf(core);
  const agent = await tlsAgent(core, 'pinned');
  await agent.start();
  await agent.opened();
  const before = await certificates.pins();
  const version = agent.store.trustVersion;
  await eventually(async () => {
    const rotated = await certificates.rotatePins('ada', false).catch(() => undefined);
    return rotated !== undefined;
  });
  const after = await certificates.pins();
  expect(after.primary).toBe(before.backups[0]);
  expect(after.backups).not.toContain(before.primary);
  expect((await certificates.status()).serverCertificate?.pin).toBe(after.primary);
  await eventually(async () => (await storedBy(core, 'pinned')) > version);
  await agent.stop();
  // It is off now, and does not know the backup that a second rotation from here would use next.
  await certificates.rotatePins('ada', false);
  await expect(certificates.rotatePins('ada', false)).rejects.toMatchObject({
    code: 'certificate_state',
    message: expect.stringContaining('pinned'),
  });
  await agent.start();
  await agent.opened();
  expect(agent.states.filter(({ name }) => name === 'waiting')).toEqual([]);
});

test('of two rotations at once one counts: the other was checked for another backup', async () => {
  const core = await (await ownCore({ certificates: {} })).start();
  const certificates = certificatesOf(core);
  const before = await certificates.pins();
  const both = await Promise.allSettled([
    certificates.rotatePins('ada', false),
    certificates.rotatePins('bob', false),
  ]);
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({
    reason: { code: 'certificate_state', message: expect.stringContaining('at the same time') },
  });
  expect((await certificates.pins()).primary).toBe(before.backups[0]);
});

test('an agent that is led to another server says so and waits', async () => {
  const core = await (await ownCore({ certificates: {} })).start();
  const other = await (await ownCore({ certificates: {} })).start();
  const agent = await tlsAgent(core, 'misled');
  await agent.start(other);
  const state = await agent.next(({ name }) => name === 'waiting');
  expect(state).toMatchObject({ error: { code: 'server_untrusted' } });
  // At the slowest pace: what cannot succeed by being repeated is no flood.
  expect(state).toMatchObject({ delayMs: expect.closeTo(45_000, -4.6) });
});

test('a certificate of files changes to a key that was announced, and to no other', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'viworks-pin-files-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  const [certificatePath, keyPath] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const put = async ({ cert, key }: Certificate) => {
    await writeFile(keyPath, key);
    await writeFile(certificatePath, cert);
  };
  const [first, announced, other] = await Promise.all([
    makeCertificate(),
    makeCertificate(),
    makeCertificate(),
  ]);
  const pinIn = ({ cert }: Certificate) => pinOf(new X509Certificate(cert));
  await put(first);
  const files = await openTlsFiles({
    certificatePath,
    keyPath,
    intervalMs: 5,
    clock: systemClock,
    log: silentLogger,
  });
  const server = { source: 'files', files } as const;
  const core = await (await ownCore({ certificates: { server, backupPins: [pinIn(announced)] } })).start();
  expect(await pinsOf(core)).toEqual([pinIn(first), pinIn(announced)]);
  const agent = await tlsAgent(core, 'filed');
  await agent.start();
  await agent.opened();
  const shown = async () => (await certificatesOf(core).status()).serverCertificate?.pin;

  // It is looked at, and not used: what comes after it is.
  await put(other);
  await put(announced);
  await eventually(async () => (await shown()) === pinText(pinIn(announced)));
  await agent.stop();
  await agent.start();
  await agent.opened();
  expect(agent.states.filter(({ name }) => name === 'waiting')).toEqual([]);
  const refused = await certificatesOf(core)
    .rotatePins('ada', true)
    .catch((error: ViworksError) => error);
  expect(refused).toMatchObject({ code: 'certificate_state' });
});

test('a server does not start with a key that nobody announced once agents pin it', async () => {
  const [first, announced, other] = await Promise.all([
    makeCertificate(),
    makeCertificate(),
    makeCertificate(),
  ]);
  const pinIn = ({ cert }: Certificate) => pinOf(new X509Certificate(cert));
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const serverKeyOfBoth = generateKeyPair();
  const clock = createTestClock();
  const start = async (current: Certificate) => {
    const files = { current, onChange: () => () => true, start() {}, stop: () => Promise.resolve() };
    const certificates = { server: { source: 'files', files } as const, backupPins: [pinIn(announced)] };
    const options = { certificates, serverKey: serverKeyOfBoth, clock };
    return stopAfterTest(await startCore(database.url, options));
  };
  const core = await start(first);
  await core.stop();
  // Nobody has stored it yet.
  const again = await start(other);
  const agent = await tlsAgent(again, 'pins');
  await agent.start();
  await agent.opened();
  await eventually(async () => (await storedBy(again, 'pins')) > 0n);
  await agent.stop();
  await again.stop();
  await expect(start(first)).rejects.toMatchObject({
    code: 'config_invalid',
    message: expect.stringMatching(/^agent_management.tls_certificate_path: .*backup_pins/),
  });
  await (await start(announced)).stop();
});
