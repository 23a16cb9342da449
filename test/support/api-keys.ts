import { ViworksError } from '../../src/errors.ts';
import type { CommandKey, CommandKeyService } from '../../src/identity/types.ts';
import { generateKeyPair } from '../../src/protocol/keys.ts';

/** Command keys in memory behind the port of the API. */
export function memoryCommandKeys(): CommandKeyService {
  const { keyId, publicKey } = generateKeyPair();
  let version = 0;
  const keys: CommandKey[] = [];
  const list = async () => ({ serverKey: { keyId, publicKey }, version, keys: [...keys] });
  const create = (createdBy: string, state: CommandKey['state'], notBefore: Date) => {
    version += 1;
    keys.unshift({
      keyId: generateKeyPair().keyId,
      state,
      createdAt: new Date(),
      createdBy,
      notBefore,
      notAfter: undefined,
      revokedAt: undefined,
      revokedBy: undefined,
      revokeReason: undefined,
    });
  };
  create('system', 'active', new Date());
  return {
    list,
    async rotate(actor, { delayMs = 0, overlapMs = 0 } = {}) {
      const from = Date.now() + delayMs;
      for (const key of keys) {
        key.notAfter ??= new Date(from + overlapMs);
        if (key.state === 'active' && delayMs === 0) key.state = 'retired';
      }
      create(actor, delayMs === 0 ? 'active' : 'next', new Date(from));
      return list();
    },
    async revoke(actor, keyId, revokeReason) {
      const key = keys.find((known) => known.keyId === keyId && known.state !== 'revoked');
      if (key === undefined) throw new ViworksError('command_key_unknown', 'keyId: is none that is believed');
      version += 1;
      Object.assign(key, { state: 'revoked', revokedAt: new Date(), revokedBy: actor, revokeReason });
      return list();
    },
  };
}
