import { fromBinary } from '@bufbuild/protobuf';
import type { Command, Signature } from '#gen/viworks/agent/v1/command_pb.js';
import {
  CommandKeySetSchema,
  type CommandKeys,
  CommandKeysSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import { leafOf, rootFrom, rootInput } from '../protocol/command-tree.ts';
import { timestampMs } from '../protocol/envelope.ts';
import { createVerifier, type Verifier, verifyBytes } from '../protocol/keys.ts';
import { commandKeysInput } from '../protocol/signed.ts';
import { assertValid } from '../protocol/validation.ts';
import type { AgentIdentity } from './identity.ts';

/**
 * Which commands an agent believes: those that a key of the newest key set signed, and of key sets those that one of
 * the server's identity keys signed, which it knows from its enrolment. Nothing in a database or on the way vouches
 * for anything.
 */
export interface CommandTrust {
  /**
   * Takes effect for all that is verified afterwards. A set that is older than the one that is known changes nothing.
   * @throws authentication_failed where no key of the server signed it
   */
  accept(keys: CommandKeys): void;
  /** Looks at the exact bytes, before anything of them is read. @throws signature_invalid */
  verify(command: Command): void;
}

/** The version of the newest set that this agent has seen, over its restarts. */
export interface TrustStore {
  readonly version: number;
  save(version: number): Promise<void>;
}

export interface CommandTrustDeps {
  identity: Pick<AgentIdentity, 'serverKeys'>;
  /** Without one, an old set is believed again after a restart. */
  store?: TrustStore | undefined;
  log: Logger;
  /** Milliseconds since 1970 by the server's clock. */
  serverNow(): number;
}

interface TrustedKey {
  verify: Verifier;
  notBefore: number;
  notAfter: number;
}

/** How far the server's clock, as it is estimated here, may be behind. */
const toleranceMs = 5_000;
/** Roots that were verified a moment ago: commands of one tree that come one after the other. */
const rememberedRoots = 64;
const maximumSignatures = 4;

export function createCommandTrust({ identity, store, log, serverNow }: CommandTrustDeps): CommandTrust {
  let version = store?.version ?? 0;
  let keys = new Map<string, TrustedKey>();
  const roots = new Set<string>();

  function holds(
    leaf: Uint8Array,
    { keyId, value, leafIndex, treeSize, path }: Signature,
  ): string | undefined {
    const key = keys.get(keyId);
    if (key === undefined) return 'it is signed with a key that is not known, or revoked';
    const now = serverNow();
    if (key.notBefore > now + toleranceMs) return 'its key is not to sign yet';
    if (key.notAfter <= now) return 'its key is to sign no more';
    const root = rootFrom(leaf, leafIndex, treeSize || 1, path);
    if (root === undefined) return 'its place in the tree of hashes is none';
    const name = `${keyId} ${base64(root)} ${base64(value)}`;
    if (roots.has(name)) return undefined;
    if (!key.verify(rootInput(root), value)) return 'its signature is wrong';
    const [oldest] = roots;
    if (roots.size >= rememberedRoots && oldest !== undefined) roots.delete(oldest);
    roots.add(name);
    return undefined;
  }

  return {
    accept(message) {
      assertValid(CommandKeysSchema, message, 'protocol_violation', 'command_keys.');
      const { keySet, signature, keyId } = message;
      const server = identity.serverKeys.find((known) => known.keyId === keyId);
      if (server === undefined || (server.notAfter ?? Number.POSITIVE_INFINITY) < serverNow())
        throw refused('command_keys: are signed with a key of the server that is not known here');
      if (!verifyBytes(server.publicKey, commandKeysInput(keySet), signature))
        throw refused('command_keys: the signature is wrong');
      const set = fromBinary(CommandKeySetSchema, keySet);
      assertValid(CommandKeySetSchema, set, 'protocol_violation', 'command_keys.');
      const newVersion = Number(set.version);
      if (newVersion < version) {
        log.warn({ version: newVersion, known: version }, 'command keys that are older than the known ones');
        // After a restart nothing but the version is known: then nothing is believed.
        return;
      }
      roots.clear();
      keys = new Map(
        set.keys.flatMap(({ keyId: name, publicKey, notBefore, notAfter }) => {
          if (publicKey.byteLength !== 32) return [];
          const times = {
            notBefore: timestampMs(notBefore) ?? 0,
            notAfter: timestampMs(notAfter) ?? Number.POSITIVE_INFINITY,
          };
          return [[name, { verify: createVerifier(publicKey), ...times }] as const];
        }),
      );
      if (newVersion === version) return;
      version = newVersion;
      store
        ?.save(version)
        .catch((err: unknown) => log.error({ err }, 'the version of the command keys is not kept'));
    },
    verify({ body, signatures }) {
      let reason = 'it is not signed';
      const leaf = leafOf(body);
      for (const signature of signatures.slice(0, maximumSignatures)) {
        const problem = holds(leaf, signature);
        if (problem === undefined) return;
        reason = problem;
      }
      throw new ViworksError('signature_invalid', `The command is not believed: ${reason}.`);
    },
  };
}

const base64 = ({ buffer, byteOffset, byteLength }: Uint8Array) =>
  Buffer.from(buffer, byteOffset, byteLength).toString('base64');

const refused = (message: string) => new ViworksError('authentication_failed', message);
