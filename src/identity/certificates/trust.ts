import { createPrivateKey, type KeyObject } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type TlsTrust, TlsTrustSchema } from '#gen/viworks/agent/v1/certificate_pb.js';
import type { AuditTrail } from '../../audit/trail.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { openTrust, signTrust, type TrustDocument } from '../../protocol/certificates/trust-document.ts';
import { privateKeyPem } from '../../protocol/certificates/x509.ts';
import type { KeyPair } from '../../protocol/keys.ts';
import {
  deleteTlsKeys,
  findTlsKeys,
  insertTlsKey,
  insertTrust,
  lockTrust,
  newestTrust,
} from '../../storage/certificates.ts';
import type { Database } from '../../storage/database.ts';
import { commandSecretBox } from '../secret-box.ts';
import { namesIn, noTrust, trustDifference } from './trust-changes.ts';

/**
 * The trust document as the database has it: signed by the server's identity key, so that an authority or a pin that
 * somebody writes into the database is in none. Its private keys are stored encrypted, so that all instances with the
 * same secret share them.
 */
export interface Trust {
  readonly document: TrustDocument;
  /** For agents; undefined while there is none. */
  readonly message: TlsTrust | undefined;
  /** The private key of an authority, by its certificate's id, or of the server, by its pin. */
  keyOf(name: string): KeyObject | undefined;
  /** Reads what another instance changed. True if there was something. */
  refresh(): Promise<boolean>;
  /** One at a time over all instances: whoever changes it has seen what was changed before. */
  change(actor: string, decide: Decide): Promise<boolean>;
  /** The version from which on, and up to now, every document was so; undefined if the newest is not. */
  since(holds: (document: TrustDocument) => boolean): Promise<number | undefined>;
}

/** What the document becomes, with the keys that are new in it; undefined leaves it as it is. */
export type Decide = (
  document: TrustDocument,
  now: number,
  keyOf: Trust['keyOf'],
) => { document: TrustDocument; made?: readonly NamedKey[] } | undefined;

export interface NamedKey {
  name: string;
  key: KeyObject;
}

export interface TrustDeps {
  database: Database;
  serverKey: KeyPair;
  /** The command secret. */
  secret: Uint8Array;
  /** Keys that are not in the database: those of an operator's own authority. */
  ownKeys: readonly NamedKey[];
  clock: Clock;
  log: Logger;
  audit: Pick<AuditTrail, 'append'>;
}

/** What a sealed key belongs to; no id of a command key is written so. */
const contextOf = (name: string) => `tls ${name}`;
/** What nobody asked for; what somebody did is in the entry of the call. */
const system = 'system';
/** Rows that are looked through for one that holds. */
const rowsAtOnce = 100;

interface Held {
  document: TrustDocument;
  message: TlsTrust | undefined;
  keys: ReadonlyMap<string, KeyObject>;
}

export function createTrust({ database, serverKey, secret, ownKeys, clock, log, audit }: TrustDeps): Trust {
  const box = commandSecretBox(secret);
  let held: Held = { document: noTrust, message: undefined, keys: new Map() };

  /** Those above a version that our identity key signed, newest first. Whatever else is there, somebody else wrote. */
  async function signed(query: Database['query'], above: number) {
    const rows = await newestTrust(query, serverKey.keyId, above, rowsAtOnce);
    return rows.flatMap((row) => {
      const { document: bytes, signature } = row;
      const message = create(TlsTrustSchema, {
        document: new Uint8Array(bytes),
        signature: new Uint8Array(signature),
        keyId: serverKey.keyId,
      });
      try {
        const document = openTrust(message, [serverKey]);
        return document.version > above ? [{ document, message }] : [];
      } catch {
        log.error({ version: row.version }, 'a trust document that this server did not sign is ignored');
        return [];
      }
    });
  }

  async function newer(query: Database['query'], above: number): Promise<Held | undefined> {
    const [found] = await signed(query, above);
    if (found === undefined) return undefined;
    return { ...found, keys: await openKeys(query, found.document) };
  }

  async function openKeys(
    query: Database['query'],
    document: TrustDocument,
  ): Promise<Map<string, KeyObject>> {
    const keys = new Map(ownKeys.map(({ name, key }) => [name, key]));
    for (const { name, sealedKey } of await findTlsKeys(query, namesIn(document))) {
      const pem = box.open(contextOf(name), sealedKey);
      if (pem === undefined) log.error({ name }, 'a key of TLS cannot be opened with the command secret');
      else keys.set(name, createPrivateKey(Buffer.from(pem).toString('utf8')));
    }
    return keys;
  }

  function adopt(next: Held | undefined): boolean {
    if (next === undefined || next.document.version <= held.document.version) return false;
    held = next;
    return true;
  }

  return {
    get document() {
      return held.document;
    },
    get message() {
      return held.message;
    },
    keyOf: (name) => held.keys.get(name),
    refresh: async () => adopt(await newer(database.query, held.document.version)),
    async change(actor, decide) {
      const next = await database.transaction(async (query) => {
        await lockTrust(query);
        const before = (await newer(query, held.document.version)) ?? held;
        const now = clock.now();
        const decided = decide(before.document, now, (name) => before.keys.get(name));
        if (decided === undefined) return before;
        const { document, made = [] } = decided;
        const createdAt = new Date(now);
        for (const { name, key } of made) {
          const sealedKey = box.seal(contextOf(name), Buffer.from(privateKeyPem(key)));
          await insertTlsKey(query, { name, sealedKey, createdAt, createdBy: actor });
        }
        const message = signTrust(document, serverKey);
        await insertTrust(query, {
          version: document.version,
          document: message.document,
          signature: message.signature,
          signedBy: serverKey.keyId,
          createdAt,
          createdBy: actor,
        });
        // A key that cannot be opened here may be there for who has the secret; what was replaced is of use to nobody.
        const named = new Set(namesIn(document));
        await deleteTlsKeys(
          query,
          [...before.keys.keys()].filter((name) => !named.has(name)),
        );
        if (actor === system)
          await audit.append(query, {
            actor: 'system:certificates',
            action: 'certificates.changeTrust',
            resourceKind: 'trust_document',
            resourceId: String(document.version),
            outcome: 'done',
            details: () => trustDifference(before.document, document),
          });
        log.info({ actor, version: document.version }, 'the trust document changed');
        return { document, message, keys: await openKeys(query, document) };
      });
      return adopt(next);
    },
    async since(holds) {
      let version: number | undefined;
      for (const { document } of await signed(database.query, 0)) {
        if (!holds(document)) break;
        version = document.version;
      }
      return version;
    },
  };
}
