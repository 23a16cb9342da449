import { create } from '@bufbuild/protobuf';
import {
  type CommandKeys as CommandKeysMessage,
  CommandKeysSchema,
} from '#gen/viworks/agent/v1/handshake_pb.js';
import type { Bus } from '../bus/bus.ts';
import { invalidField, ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/logger.ts';
import { storableText } from '../lib/text.ts';
import { createTicker } from '../lib/ticker.ts';
import { generateKeyPair, type KeyPair, signBytes, verifyBytes } from '../protocol/keys.ts';
import { commandKeysInput } from '../protocol/signed.ts';
import {
  findCommandKeys,
  insertCommandKey,
  insertKeySet,
  listCommandKeys,
  lockCommandKeys,
  markCommandKeyRevoked,
  newestKeySets,
} from '../storage/command-keys.ts';
import type { Database } from '../storage/database.ts';
import {
  activeKey,
  type KeySet,
  maximumKeys,
  noKeys,
  readKeySet,
  rotated,
  stateOf,
  without,
  writeKeySet,
} from './command-key-set.ts';
import { commandSecretBox, openPrivateKey, sealPrivateKey } from './secret-box.ts';
import type { CommandKeyList, CommandKeyService, RotateOptions } from './types.ts';

/**
 * The keys that sign commands. Which ones are believed says a set signed by the server's identity key, which agents
 * know from their enrolment; a key that somebody writes into the database is in no such set. Private keys are stored
 * encrypted, so that all instances with the same secret share them.
 */
export interface CommandKeys extends CommandKeyService, CommandSigner {
  /** Reads the set; makes the first key where there is none. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** For WELCOME, and for the session when they change. */
  readonly message: CommandKeysMessage;
  /** Calls the listener before the first signature under the new set, until the returned function is called. */
  onChange(listener: () => void): () => void;
}

/** The one thing that needs a private key. A key service that answers later takes its place with a promise. */
export interface CommandSigner {
  sign(bytes: Uint8Array): CommandKeySignature | Promise<CommandKeySignature>;
}

export interface CommandKeySignature {
  keyId: string;
  value: Uint8Array;
}

export interface CommandKeysDeps {
  database: Database;
  bus: Bus;
  serverKey: KeyPair;
  /** The command secret. */
  secret: Uint8Array;
  clock: Clock;
  log: Logger;
}

/** How long the key before is believed after another one took over, unless asked otherwise. */
const usualOverlapMs = 3_600_000;
/** After a delay, for what is signed just before its end. */
const leastOverlapMs = 60_000;
/** Milliseconds between looks for a set of which nobody told. */
const lookMs = 10_000;
/** Rows that are looked through for one that holds. */
const setsAtOnce = 100;
const listed = 200;

interface Held {
  set: KeySet;
  message: CommandKeysMessage;
  /** The private keys that could be opened. */
  pairs: ReadonlyMap<string, KeyPair>;
}

export function createCommandKeys(deps: CommandKeysDeps): CommandKeys {
  const { database, bus, serverKey, clock, log } = deps;
  const box = commandSecretBox(deps.secret);
  let held: Held = { set: noKeys, message: create(CommandKeysSchema), pairs: new Map() };
  const listeners = new Set<() => void>();
  let unsubscribe: (() => void) | undefined;

  const look = createTicker({
    intervalMs: lookMs,
    work: refresh,
    failed: (error) => log.warn({ err: ViworksError.from(error) }, 'cannot look for new command keys now'),
  });

  /** The newest set above a version that our identity key signed. Whatever else is there, somebody else wrote. */
  async function newestSigned(query: Database['query'], above: number): Promise<Held | undefined> {
    for (const row of await newestKeySets(query, serverKey.keyId, above, setsAtOnce)) {
      if (!verifyBytes(serverKey.publicKey, commandKeysInput(row.keySet), row.signature)) {
        log.error({ version: row.version }, 'a set of command keys that this server did not sign is ignored');
        continue;
      }
      const set = readKeySet(row.keySet);
      if (set.version <= above) continue;
      const { keySet, signature } = row;
      const message = create(CommandKeysSchema, { keySet, signature, keyId: serverKey.keyId });
      return { set, message, pairs: await openKeys(query, set) };
    }
    return undefined;
  }

  async function openKeys(query: Database['query'], set: KeySet): Promise<Map<string, KeyPair>> {
    const pairs = new Map<string, KeyPair>();
    const rows = await findCommandKeys(
      query,
      set.keys.map((key) => key.keyId),
    );
    for (const { keyId, sealedPrivateKey } of rows) {
      const pair = openPrivateKey(box, keyId, sealedPrivateKey);
      if (pair === undefined) log.error({ keyId }, 'a command key cannot be opened with the command secret');
      else pairs.set(keyId, pair);
    }
    return pairs;
  }

  function adopt(next: Held): void {
    if (next.set.version <= held.set.version) return;
    held = next;
    for (const listener of listeners) listener();
  }

  async function refresh(): Promise<void> {
    const newer = await newestSigned(database.query, held.set.version);
    if (newer !== undefined) adopt(newer);
  }

  interface Change {
    set: KeySet;
    /** A key that is new in it. */
    made?: KeyPair;
    revoked?: { keyId: string; reason: string };
  }

  /** One at a time over all instances: whoever changes the set has seen what was changed before. */
  async function change(
    actor: string,
    decide: (held: Held, now: number) => Change | undefined,
  ): Promise<void> {
    const next = await database.transaction(async (query) => {
      await lockCommandKeys(query);
      const before = (await newestSigned(query, held.set.version)) ?? held;
      const now = clock.now();
      const decided = decide(before, now);
      if (decided === undefined) return before;
      const { set, made, revoked } = decided;
      const at = new Date(now);
      const keySet = writeKeySet(set);
      const signature = signBytes(serverKey, commandKeysInput(keySet));
      const pairs = new Map(before.pairs);
      if (made !== undefined) {
        const { keyId, publicKey } = made;
        const sealedPrivateKey = sealPrivateKey(box, made);
        await insertCommandKey(query, {
          keyId,
          publicKey,
          sealedPrivateKey,
          createdAt: at,
          createdBy: actor,
        });
        pairs.set(keyId, made);
      }
      if (revoked !== undefined) await markCommandKeyRevoked(query, revoked.keyId, at, actor, revoked.reason);
      const row = { version: set.version, keySet, signature, signedBy: serverKey.keyId, createdAt: at };
      await insertKeySet(query, row);
      const message = create(CommandKeysSchema, { keySet, signature, keyId: serverKey.keyId });
      return { set, message, pairs };
    });
    adopt(next);
    bus.publish('commandKeys.changed', 'all');
    log.info(
      { actor, version: next.set.version, active: activeKey(next.set, clock.now())?.keyId },
      'command keys changed',
    );
  }

  function rotateNow({ set }: Held, now: number, options: RotateOptions): Change {
    const made = generateKeyPair();
    const { delayMs = 0, overlapMs = usualOverlapMs } = options;
    // Agents hear of a change at once before what is signed next, but not of the moment at which a delay is over.
    const least = delayMs > 0 ? leastOverlapMs : 0;
    const times = { activeFrom: now + delayMs, overlapMs: Math.max(overlapMs, least) };
    const next = rotated(set, made, times, now);
    if (next.keys.length > maximumKeys) {
      throw new ViworksError(
        'command_key_state',
        `${maximumKeys} keys are believed already; revoke one, or wait for the end of its overlap.`,
      );
    }
    return { set: next, made };
  }

  const signsWith = ({ set, pairs }: Held) => pairs.get(activeKey(set, clock.now())?.keyId ?? '');

  async function list(): Promise<CommandKeyList> {
    const rows = await listCommandKeys(database.query, listed);
    const now = clock.now();
    const { set } = held;
    const keys = rows.map((row) => {
      const trusted = set.keys.find((key) => key.keyId === row.keyId);
      const state = trusted === undefined ? ('retired' as const) : stateOf(set, trusted, now);
      return {
        keyId: row.keyId,
        state: row.revokedAt !== null && trusted === undefined ? ('revoked' as const) : state,
        createdAt: row.createdAt,
        createdBy: row.createdBy,
        notBefore: trusted && new Date(trusted.notBefore),
        notAfter: trusted?.notAfter === undefined ? undefined : new Date(trusted.notAfter),
        revokedAt: row.revokedAt ?? undefined,
        revokedBy: row.revokedBy ?? undefined,
        revokeReason: row.revokeReason ?? undefined,
      };
    });
    const { keyId, publicKey } = serverKey;
    return { serverKey: { keyId, publicKey }, version: set.version, keys };
  }

  return {
    async start() {
      unsubscribe = bus.subscribe('commandKeys.changed', 'all', () => {
        refresh().catch((error: unknown) =>
          log.warn({ err: ViworksError.from(error) }, 'cannot read the new command keys now'),
        );
      });
      await refresh();
      if (signsWith(held) === undefined) {
        // Another instance may have made it meanwhile.
        await change('system', (before, now) =>
          signsWith(before) === undefined ? rotateNow(before, now, { overlapMs: 0 }) : undefined,
        );
      }
      look.start();
    },
    async stop() {
      unsubscribe?.();
      await look.stop();
    },
    get message() {
      return held.message;
    },
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    sign(bytes) {
      const pair = signsWith(held);
      if (pair === undefined)
        throw new ViworksError('unavailable', 'No key that signs commands is there now.');
      return { keyId: pair.keyId, value: signBytes(pair, bytes) };
    },
    list,
    async rotate(actor, options = {}) {
      await change(actor, (before, now) => rotateNow(before, now, options));
      return list();
    },
    async revoke(actor, keyId, reason) {
      await change(actor, (before, now) => {
        if (!before.set.keys.some((key) => key.keyId === keyId))
          throw invalidField(
            'keyId',
            'is none that is believed; see `viworks keys list`',
            'command_key_unknown',
          );
        const set = without(before.set, keyId, now);
        const revoked = { keyId, reason: storableText(reason) };
        const pairs = new Map(before.pairs);
        pairs.delete(keyId);
        // Something must sign what is queued.
        if (pairs.has(activeKey(set, now)?.keyId ?? '')) return { set, revoked };
        return { ...rotateNow({ ...before, set }, now, { overlapMs: 0 }), revoked };
      });
      return list();
    },
  };
}
