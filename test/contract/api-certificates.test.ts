import { expect, test } from 'vitest';
import { AuthorityState, ClientCertificates } from '#gen/viworks/control/v1/certificate_pb.js';
import { serial } from '../support/api-certificates.ts';
import { startApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

test('tRPC and gRPC say the same of certificates', async () => {
  await using api = await startApi();
  const [trpc, grpc] = [await api.trpc(), await api.control('grpc')];
  const view = await trpc.certs.status.query();
  const { status } = await grpc.getCertificateStatus({});
  expect(status).toMatchObject({
    clientCertificates: ClientCertificates.ON,
    trustVersion: BigInt(view.trust.version),
    authorities: [{ authorityId: view.authorities[0]?.authorityId, state: AuthorityState.ACTIVE }],
    pins: { primary: view.pins.primary, backups: view.pins.backups },
    withoutTrust: { total: 1, agentIds: view.waiting.withoutTrust.agentIds },
    serverCertificate: { builtIn: true, pin: view.serverCertificate?.pin },
  });
  expect((await grpc.getPins({})).pins?.primary).toBe((await trpc.certs.pins.query()).primary);
  for (const change of [trpc.certs.prepareAuthority, trpc.certs.dropAuthority, trpc.certs.activateAuthority])
    expect(await change.mutate()).toEqual(view);
  expect((await grpc.retireAuthority({ force: true })).status?.trustDomain).toBe('test');
  const issued = await trpc.certs.issue.mutate({ request: 'AQID', names: ['control.example'] });
  expect(issued).toMatchObject({ chain: ['AQID'], certificate: { names: ['control.example'] } });
  const other = await grpc.issueCertificate({ request: new Uint8Array([1]), agentId: 'alpha' });
  expect(other.certificate).toMatchObject({ agentId: 'alpha', issuedTo: 'the admin' });
  const revoked = await grpc.revokeCertificate({ serial, reason: 'copied' });
  expect(revoked.certificate).toMatchObject({ revokedBy: 'the admin', revokeReason: 'copied' });
  expect((await trpc.certs.list.query({ agentId: 'alpha' })).certificates).toMatchObject([
    { serial, revokeReason: 'copied' },
  ]);
  expect((await grpc.listCertificates({ agentId: 'beta' })).certificates).toEqual([]);
});

test('what is wrong is named, on each surface by its own name', async () => {
  await using api = await startApi();
  const [trpc, grpc] = [await api.trpc(), await api.control('connect')];
  expect(await errorOf(trpc.certs.issue.mutate({ request: 'AQID' }))).toMatchObject({
    code: 'invalid_request',
    message: expect.stringMatching(/^names:/),
  });
  const both = { request: new Uint8Array([1]), agentId: 'alpha', names: ['x'] };
  expect(await errorOf(grpc.issueCertificate(both))).toMatchObject({ code: 'invalid_request' });
  expect(await errorOf(grpc.issueCertificate({ ...both, names: [], agentId: 'A' }))).toMatchObject({
    message: expect.stringMatching(/^agent_id:/),
  });
  expect(await errorOf(trpc.certs.revoke.mutate({ serial: '00' }))).toMatchObject({
    code: 'certificate_unknown',
  });
});
