import { durationMs, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { CommandKeyState } from '#gen/viworks/control/v1/key_pb.js';
import type { CommandKey, CommandKeyList } from '../../identity/types.ts';
import type { ApiDeps } from '../deps.ts';
import { rotateKeyInput } from '../schemas/keys.ts';
import { invalidRequest } from '../schemas/problems.ts';
import type { Guard } from './guard.ts';

const stateMessage: Record<CommandKey['state'], CommandKeyState> = {
  next: CommandKeyState.NEXT,
  active: CommandKeyState.ACTIVE,
  retired: CommandKeyState.RETIRED,
  revoked: CommandKeyState.REVOKED,
};

function keysMessage({ serverKey, version, keys }: CommandKeyList) {
  return { serverKey, version: BigInt(version), keys: keys.map(keyMessage) };
}

function keyMessage({ keyId, state, createdAt, createdBy, ...key }: CommandKey) {
  const { notBefore, notAfter, revokedAt, revokedBy = '', revokeReason = '' } = key;
  return {
    keyId,
    state: stateMessage[state],
    createdAt: timestampFromDate(createdAt),
    createdBy,
    revokedBy,
    revokeReason,
    ...(notBefore && { notBefore: timestampFromDate(notBefore) }),
    ...(notAfter && { notAfter: timestampFromDate(notAfter) }),
    ...(revokedAt && { revokedAt: timestampFromDate(revokedAt) }),
  };
}

/** The methods of ControlService for the keys that sign commands. */
export function keyMethods({ commandKeys }: Pick<ApiDeps, 'commandKeys'>, { unary }: Pick<Guard, 'unary'>) {
  const { method } = ControlService;
  return {
    listKeys: unary(method.listKeys, async () => keysMessage(await commandKeys.list())),

    rotateKey: unary(method.rotateKey, async ({ delay, overlap }, { actor }) => {
      const parsed = rotateKeyInput.safeParse({
        delayMs: delay && Math.ceil(durationMs(delay)),
        overlapMs: overlap && Math.ceil(durationMs(overlap)),
      });
      if (!parsed.success) throw invalidRequest(parsed.error, { delayMs: 'delay', overlapMs: 'overlap' });
      return keysMessage(await commandKeys.rotate(actor.subject, parsed.data));
    }),

    revokeKey: unary(method.revokeKey, async ({ keyId, reason }, { actor }) =>
      keysMessage(await commandKeys.revoke(actor.subject, keyId, reason)),
    ),
  };
}
