import { expect, test } from 'vitest';
import { AuditOutcome } from '#gen/viworks/control/v1/audit_pb.js';
import { startApi } from '../support/api-server.ts';

/** The audit log says the same over every surface. */

const commandId = '0197f0c2-7a1b-7c00-8000-000000000000';

test.each(['grpc', 'connect'] as const)('over %s as over tRPC', async (protocol) => {
  await using api = await startApi();
  const trpc = await api.trpc();
  const rpc = await api.control(protocol);
  await expect(trpc.commands.cancel.mutate({ commandId, reason: 'why' })).rejects.toThrow();
  await expect(rpc.cancelCommand({ commandId, reason: 'why' })).rejects.toThrow();
  const filter = { action: 'commands.cancel' };

  const { entries } = await trpc.audit.list.query({ filter });
  expect(entries).toHaveLength(2);
  for (const entry of entries)
    expect(entry).toMatchObject({
      actor: 'the admin',
      role: 'admin',
      resourceKind: 'command',
      resourceId: commandId,
      outcome: 'refused',
      code: 'command_unknown',
      address: expect.stringMatching(/127\.0\.0\.1$/),
    });
  const listed = await rpc.listAuditEntries({ filter });
  expect(listed.entries.map(({ resourceId, outcome, code }) => ({ resourceId, outcome, code }))).toEqual(
    entries.map(({ resourceId, code }) => ({ resourceId, outcome: AuditOutcome.REFUSED, code })),
  );

  const head = await trpc.audit.head.query();
  expect(await rpc.getAuditHead({})).toMatchObject({ block: 1n, hash: head.hash, pending: 2n });
  expect((await trpc.audit.verify.query()).problem).toBeUndefined();
  const next = await rpc.verifyAudit({ pageToken: 'next' });
  expect(next.problem).toMatchObject({ kind: 'changed', block: 2n, seq: 7n });
  expect(await trpc.audit.verify.query({ pageToken: 'next' })).toMatchObject({ problem: { seq: 7 } });
  const { lines } = await trpc.audit.export.query({});
  expect((await rpc.exportAudit({})).lines).toEqual(lines);
  expect(lines.map((line) => JSON.parse(line).type)).toEqual(['start', 'end']);
});

test('who may not, and who is unknown, is in it', async () => {
  await using api = await startApi();
  const viewer = await api.trpc('viewer');
  await expect(viewer.audit.list.query({})).rejects.toMatchObject({ data: { code: 'permission_denied' } });
  await viewer.audit.head.query();
  await fetch(`${api.url1}/trpc/agents.list`, { headers: { 'user-agent': 'a script' } });
  expect(api.audited).toMatchObject([
    { actor: 'the viewer', action: 'audit.list', code: 'permission_denied' },
    { actor: 'the viewer', action: 'api.login', outcome: 'done' },
    { actor: 'unknown', action: 'agents.list', code: 'unauthenticated', userAgent: 'a script' },
  ]);
});
