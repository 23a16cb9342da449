import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { CommandKeyState } from '#gen/viworks/control/v1/key_pb.js';
import { startApi } from '../support/api-server.ts';
import { errorOf } from '../support/api-surfaces.ts';

test('tRPC and gRPC say the same of the keys', async () => {
  await using api = await startApi();
  const [trpc, grpc] = [await api.trpc(), await api.control('grpc')];
  const rotated = await trpc.keys.rotate.mutate({ overlapMs: 60_000 });
  expect(rotated.keys.map((key) => [key.state, key.createdBy])).toEqual([
    ['active', 'the admin'],
    ['retired', 'system'],
  ]);
  const [active, retired] = rotated.keys;
  const revoked = await grpc.revokeKey({ keyId: retired?.keyId ?? '', reason: 'copied' });
  expect(revoked.keys[1]).toMatchObject({
    keyId: retired?.keyId,
    state: CommandKeyState.REVOKED,
    revokedBy: 'the admin',
    revokeReason: 'copied',
  });
  await grpc.rotateKey({ delay: durationFromMs(5000), overlap: durationFromMs(1) });
  const [view, message] = [await trpc.keys.list.query(), await grpc.listKeys({})];
  expect(view.keys.map((key) => key.state)).toEqual(['next', 'active', 'revoked']);
  expect(view.keys[1]?.keyId).toBe(active?.keyId);
  expect(message.keys.map((key) => CommandKeyState[key.state].toLowerCase())).toEqual(
    view.keys.map((key) => key.state),
  );
  expect(message.version).toBe(BigInt(view.version));
  expect(message.serverKey?.keyId).toBe(view.serverKey.keyId);
  expect(Buffer.from(message.serverKey?.publicKey ?? []).toString('base64')).toBe(view.serverKey.publicKey);
});

test('what is wrong is named, on each surface by its own name', async () => {
  await using api = await startApi();
  const [trpc, grpc] = [await api.trpc(), await api.control('connect')];
  const unknown = '0'.repeat(32);
  expect(await errorOf(trpc.keys.revoke.mutate({ keyId: unknown }))).toMatchObject({
    code: 'command_key_unknown',
  });
  expect(await errorOf(grpc.revokeKey({ keyId: unknown }))).toMatchObject({ code: 'command_key_unknown' });
  expect(await errorOf(trpc.keys.revoke.mutate({ keyId: 'x' }))).toMatchObject({ code: 'invalid_request' });
  expect(await errorOf(trpc.keys.rotate.mutate({ overlapMs: -1 }))).toMatchObject({
    code: 'invalid_request',
  });
  const negative = await errorOf(grpc.rotateKey({ overlap: durationFromMs(-1) }));
  expect(negative).toMatchObject({ code: 'invalid_request', message: expect.stringMatching(/^overlap:/) });
});
