import { createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { agentUri, readAgentUri } from './agent-name.ts';
import { checkClient } from './client-check.ts';
import { judgeServer, pinOfSpki, pinText, readPin } from './pins.ts';
import {
  isIssuedBy,
  issueCertificate,
  makeAuthority,
  newTlsKey,
  readRequest,
  spkiOf,
  urisOf,
  writeRequest,
} from './x509.ts';

const now = Date.parse('2026-01-31T08:00:00Z');
const dayMs = 86_400_000;

function authority(key = newTlsKey()) {
  const terms = { subject: 'an authority', notBefore: now - dayMs, notAfter: now + 100 * dayMs };
  return { certificate: new X509Certificate(makeAuthority(terms, key)), key };
}

type Leaf = Parameters<typeof issueCertificate>[0];
const leafOf = (change: Partial<Leaf> = {}): Leaf => ({
  subject: 'web-1',
  publicKey: createPublicKey(newTlsKey()),
  use: 'client',
  names: [agentUri('test', { agentId: 'web-1', incarnation: 3 })],
  notBefore: now - 1000,
  notAfter: now + dayMs,
  ...change,
});

test('a request carries a key that its sender holds, and no other', () => {
  const key = newTlsKey();
  const request = writeRequest(key);
  expect(spkiOf(readRequest(request, 'request'))).toEqual(spkiOf(key));
  const refused = expect.objectContaining({ code: 'invalid_request' });
  for (let at = 0; at < request.length; at += 1) {
    const damaged = Uint8Array.from(request, (byte, index) => (index === at ? byte ^ 0x10 : byte));
    expect(() => readRequest(damaged, 'request')).toThrow(refused);
  }
  expect(() => readRequest(new Uint8Array(5000), 'request')).toThrow(refused);
  const other = generateKeyPairSync('ec', { namedCurve: 'secp384r1' }).privateKey;
  expect(() => readRequest(writeRequest(other), 'request')).toThrow(/P-256/);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      expect(() => readRequest(bytes, 'request')).toThrow(refused);
    }),
  );
});

test.each([
  ['ECDSA', newTlsKey()],
  ['RSA', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
  ['Ed25519', generateKeyPairSync('ed25519').privateKey],
])('an authority with a key of %s issues what others can verify', (_, key) => {
  const issuer = authority(key);
  const certificate = new X509Certificate(issueCertificate(leafOf(), issuer));
  expect(isIssuedBy(certificate, issuer.certificate)).toBe(true);
  expect(isIssuedBy(certificate, authority().certificate)).toBe(false);
  expect(certificate.ca).toBe(false);
  expect(urisOf(new Uint8Array(certificate.raw))).toEqual(['spiffe://test/agent/web-1/3']);
  const names = ['control.example', '10.0.0.1', '::1'];
  const server = new X509Certificate(issueCertificate(leafOf({ use: 'server', names }), issuer));
  expect(server.checkHost('control.example')).toBe('control.example');
  expect(server.checkIP('10.0.0.1')).toBe('10.0.0.1');
  expect(server.checkIP('::1')).toBe('::1');
});

test('an agent’s certificate is its own, of this enrolment, in time, and of a known authority', () => {
  const issuer = authority();
  const agent = { agentId: 'web-1', incarnation: 3 };
  const check = (change: Partial<Leaf> = {}, more = {}) =>
    checkClient(issueCertificate(leafOf(change), issuer), agent, {
      trustDomain: 'test',
      authorities: [authority().certificate, issuer.certificate],
      now,
      ...more,
    });
  expect(check()).toMatchObject({ notAfter: now + dayMs, serial: expect.stringMatching(/^[0-9A-F]{32}$/) });
  expect(check({}, { authorities: [] })).toBe('certificate_untrusted');
  expect(check({}, { now: now + 101 * dayMs })).toBe('certificate_untrusted');
  expect(check({}, { now: now + dayMs })).toBe('certificate_out_of_time');
  expect(check({ notBefore: now + 1000 })).toBe('certificate_out_of_time');
  expect(check({ use: 'server', names: ['web-1'] })).toBe('certificate_wrong_use');
  const others = [
    { agentId: 'web-2', incarnation: 3 },
    { agentId: 'web-1', incarnation: 2 },
  ].map((name) => agentUri('test', name));
  const own = agentUri('test', agent);
  for (const names of [...others.map((uri) => [uri]), [own, ...others], [agentUri('else', agent)]])
    expect(check({ names })).toBe('certificate_wrong_agent');
  const known = { trustDomain: 'test', authorities: [issuer.certificate], now };
  expect(checkClient(new Uint8Array([1, 2]), agent, known)).toBe('certificate_unreadable');
  // An authority is no agent, whatever it is called.
  expect(checkClient(new Uint8Array(issuer.certificate.raw), agent, known)).toBe('certificate_wrong_use');
});

test('names of agents are read back as they were written', () => {
  const id = fc.stringMatching(/^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$/);
  fc.assert(
    fc.property(id, fc.integer({ min: 1, max: 999_999_999 }), (agentId, incarnation) => {
      expect(readAgentUri('test', agentUri('test', { agentId, incarnation }))).toEqual({
        agentId,
        incarnation,
      });
    }),
  );
  for (const uri of ['spiffe://test/agent/web-1', 'spiffe://test/agent/web-1/0', 'spiffe://test/agent/a/b/1'])
    expect(readAgentUri('test', uri)).toBeUndefined();
});

test('pins decide as long as they are good, and authorities where there are none', () => {
  const [right, wrong] = [pinOfSpki(new Uint8Array([1])), pinOfSpki(new Uint8Array([2]))];
  expect(readPin(pinText(right))).toEqual(right);
  for (const text of ['sha256/', 'sha1/x', pinText(right).slice(0, -1)])
    expect(readPin(text)).toBeUndefined();
  fc.assert(
    fc.property(fc.boolean(), fc.boolean(), (expired, vouchedFor) => {
      const judge = (pins: Uint8Array[]) => judgeServer({ pin: right, pins, expired, vouchedFor });
      expect(judge([wrong, right])).toBe('trusted');
      expect(judge([])).toBe(vouchedFor ? 'trusted' : 'untrusted');
      const other = vouchedFor ? 'trusted' : 'untrusted';
      expect(judge([wrong])).toBe(expired ? other : 'wrong_pin');
    }),
  );
});
