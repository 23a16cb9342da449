import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { CommandKeySetSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { timestampMs } from '../protocol/envelope.ts';

/**
 * Which keys sign commands, and what becomes of them: pure functions. A key is believed because a signed set names
 * it, between its times; to take it out of the next set is to revoke it. Times are milliseconds since 1970.
 */
export interface KeySet {
  /** Grows with every change. */
  version: number;
  issuedAt: number;
  keys: readonly TrustedKey[];
}

export interface TrustedKey {
  keyId: string;
  /** Raw Ed25519, 32 bytes. */
  publicKey: Uint8Array;
  notBefore: number;
  /** Set when another key took over. */
  notAfter: number | undefined;
}

/** What a key of a set is: it will sign, it signs, or it did and is believed for what is still on its way. */
export type TrustedKeyState = 'next' | 'active' | 'retired';

export const noKeys: KeySet = { version: 0, issuedAt: 0, keys: [] };

/** Keys that are believed at once; a rotation beyond is refused. */
export const maximumKeys = 32;

/** The key that signs: of those in their time the one that came last. */
export function activeKey({ keys }: KeySet, now: number): TrustedKey | undefined {
  let active: TrustedKey | undefined;
  for (const key of keys) {
    if (key.notBefore > now || isOver(key, now)) continue;
    if (active === undefined || key.notBefore >= active.notBefore) active = key;
  }
  return active;
}

const isOver = ({ notAfter }: TrustedKey, now: number) => notAfter !== undefined && notAfter <= now;

export function stateOf(set: KeySet, key: TrustedKey, now: number): TrustedKeyState {
  if (key.notBefore > now) return 'next';
  return activeKey(set, now)?.keyId === key.keyId ? 'active' : 'retired';
}

/** By the clock, so that a set made after a restore of an old database is newer than what agents have seen. */
const versionAfter = (version: number, now: number) => Math.max(version + 1, Math.floor(now));

const setAfter = (set: KeySet, keys: readonly TrustedKey[], now: number): KeySet => ({
  version: versionAfter(set.version, now),
  issuedAt: now,
  keys: keys.filter((key) => !isOver(key, now)),
});

/**
 * A new key signs from a moment on; those before it are believed for the overlap after it. One that was to sign later
 * and never did is dropped.
 */
export function rotated(
  set: KeySet,
  made: Pick<TrustedKey, 'keyId' | 'publicKey'>,
  { activeFrom, overlapMs }: { activeFrom: number; overlapMs: number },
  now: number,
): KeySet {
  const end = activeFrom + overlapMs;
  const before = set.keys
    .filter((key) => key.notBefore <= now)
    .map((key) => ({ ...key, notAfter: Math.min(key.notAfter ?? end, end) }));
  const { keyId, publicKey } = made;
  return setAfter(set, [...before, { keyId, publicKey, notBefore: activeFrom, notAfter: undefined }], now);
}

/** A key is believed no more. Where none is left that signs, the one that was to be next signs from now on. */
export function without(set: KeySet, keyId: string, now: number): KeySet {
  const keys = set.keys.filter((key) => key.keyId !== keyId);
  const left = setAfter(set, keys, now);
  if (activeKey(left, now) !== undefined) return left;
  const next = keys.find((key) => key.notBefore > now);
  return setAfter(
    set,
    keys.map((key) => (key === next ? { ...key, notBefore: now } : key)),
    now,
  );
}

export function writeKeySet({ version, issuedAt, keys }: KeySet): Uint8Array {
  const set = create(CommandKeySetSchema, {
    version: BigInt(version),
    issuedAt: timestampFromMs(issuedAt),
    keys: keys.map(({ keyId, publicKey, notBefore, notAfter }) => ({
      keyId,
      publicKey,
      notBefore: timestampFromMs(notBefore),
      ...(notAfter === undefined ? {} : { notAfter: timestampFromMs(notAfter) }),
    })),
  });
  return toBinary(CommandKeySetSchema, set);
}

/** @param bytes whose signature was checked */
export function readKeySet(bytes: Uint8Array): KeySet {
  const { version, issuedAt, keys } = fromBinary(CommandKeySetSchema, bytes);
  return {
    version: Number(version),
    issuedAt: timestampMs(issuedAt) ?? 0,
    keys: keys.map(({ keyId, publicKey, notBefore, notAfter }) => ({
      keyId,
      publicKey,
      notBefore: timestampMs(notBefore) ?? 0,
      notAfter: timestampMs(notAfter),
    })),
  };
}
