import { type KeyObject, X509Certificate } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { z } from 'zod';
import {
  type AgentCertificate,
  type TlsTrust,
  TlsTrustSchema,
} from '#gen/viworks/agent/v1/certificate_pb.js';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import { openTrust, type TrustDocument, type TrustSigner } from '../protocol/certificates/trust-document.ts';
import {
  certificatePem,
  certificatesIn,
  chainPem,
  isIssuedBy,
  privateKeyPem,
  readPrivateKey,
} from '../protocol/certificates/x509.ts';
import { readIfThere, writeDurably } from './files.ts';
import type { TlsTerms } from './transport/tls.ts';

/**
 * What an agent keeps of TLS in its data folder: the newest trust document of its server, and the certificate that it
 * got with the key of it.
 */
export interface TlsStore {
  /** Of the newest document that is stored; 0 while there is none. */
  readonly trustVersion: bigint;
  readonly certificate: StoredCertificate | undefined;
  /**
   * For the next connection. Where the server's time is not known yet, a certificate is shown whatever our own clock
   * says: what it is worth decides the server.
   * @param now milliseconds since 1970, by our own clock
   * @param serverNow the same by the server's, where it has told it
   */
  terms(now: number, serverNow?: number | undefined): TlsTerms;
  /**
   * Resolves when it is stored, with the version that counts from now on. A document that is older or over changes
   * nothing.
   * @throws authentication_failed where no key of the server signed it, protocol_violation
   */
  accept(message: TlsTrust, now: number): Promise<bigint>;
  /** Stores a certificate for the key. @throws protocol_violation where it is for another one */
  keep(message: AgentCertificate, key: KeyObject): Promise<void>;
}

export interface StoredCertificate {
  /** Milliseconds since 1970. */
  notBefore: number;
  notAfter: number;
  /** The authority that issues now made it, as far as it is known here. */
  current: boolean;
}

export interface TlsStoreOptions {
  /** The server's identity keys. */
  signers: readonly TrustSigner[];
  /** Believed as long as no document is stored that has some. */
  pins?: readonly Uint8Array[] | undefined;
  ca?: string | undefined;
  log: Logger;
}

const storedTrust = z.object({ document: z.string(), signature: z.string(), keyId: z.string() });

const trustFile = (dir: string) => join(dir, 'tls-trust.json');
/** Key and certificate in one file, so that they change at once. */
const certificateFile = (dir: string) => join(dir, 'tls.pem');

/** @throws config_invalid where a file is damaged */
export async function openTlsStore(dir: string, options: TlsStoreOptions): Promise<TlsStore> {
  const { signers, log } = options;
  let document = await readTrust(dir, signers, log);
  let held = await readCertificate(dir);
  let writing: Promise<unknown> = Promise.resolve();

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = writing.then(work, work);
    writing = done.catch(() => {});
    return done;
  }

  return {
    get trustVersion() {
      return BigInt(document?.version ?? 0);
    },
    get certificate() {
      if (held === undefined) return undefined;
      const { leaf } = held;
      const active = document?.authorities.find(({ state }) => state === 'active');
      return {
        notBefore: leaf.validFromDate.getTime(),
        notAfter: leaf.validToDate.getTime(),
        current: active === undefined || isIssuedBy(leaf, new X509Certificate(active.certificate)),
      };
    },
    terms(now, serverNow) {
      const pins = document?.pins ?? [];
      const usable =
        held !== undefined && (serverNow === undefined || held.leaf.validToDate.getTime() > serverNow);
      return {
        ca: options.ca,
        authorities: document?.authorities.map(({ certificate }) => certificatePem(certificate)),
        ...(pins.length > 0
          ? { pins, pinsExpired: (document?.expiresAt ?? 0) <= (serverNow ?? now) }
          : { pins: options.pins ?? [] }),
        ...(usable && held !== undefined ? { certificate: { cert: held.cert, key: held.key } } : {}),
      };
    },
    accept(message, now) {
      const offered = openTrust(message, signers);
      return inTurn(async () => {
        const version = document?.version ?? 0;
        if (offered.version < version) {
          log.warn({ version: offered.version, known: version }, 'trust that is older than the known one');
          return BigInt(version);
        }
        if (offered.expiresAt <= now) {
          log.warn({ version: offered.version }, 'trust that is over already');
          return BigInt(version);
        }
        if (offered.version > version) {
          await writeTrust(dir, message);
          document = offered;
          log.info({ version: offered.version }, 'new trust of the server is stored');
        }
        return BigInt(offered.version);
      });
    },
    async keep(message, key) {
      const made = certificateOf(message, key);
      await inTurn(async () => {
        await writeDurably(certificateFile(dir), `${made.key}${made.cert}`);
        held = made;
      });
      log.info({ until: made.leaf.validToDate }, 'this agent has a new certificate');
    },
  };
}

/** What enrolment answered takes the place of all that was there. @throws authentication_failed, protocol_violation */
export async function storeEnrolledTls(
  dir: string,
  answer: { certificate?: AgentCertificate | undefined; tlsTrust?: TlsTrust | undefined },
  signers: readonly TrustSigner[],
  key: KeyObject,
): Promise<void> {
  const { certificate, tlsTrust } = answer;
  if (tlsTrust === undefined) await rm(trustFile(dir), { force: true });
  else {
    openTrust(tlsTrust, signers);
    await writeTrust(dir, tlsTrust);
  }
  if (certificate === undefined) await rm(certificateFile(dir), { force: true });
  else {
    const made = certificateOf(certificate, key);
    await writeDurably(certificateFile(dir), `${made.key}${made.cert}`);
  }
}

interface HeldCertificate {
  /** PEM. */
  cert: string;
  key: string;
  leaf: X509Certificate;
}

function certificateOf({ certificates }: AgentCertificate, key: KeyObject): HeldCertificate {
  const [own] = certificates;
  try {
    const leaf = new X509Certificate(own ?? new Uint8Array());
    if (!leaf.checkPrivateKey(key)) throw new Error('for another key');
    return { cert: chainPem(certificates), key: privateKeyPem(key), leaf };
  } catch (cause) {
    throw new ViworksError('protocol_violation', 'agent_certificate: is none for the key that was sent.', {
      cause,
    });
  }
}

async function readCertificate(dir: string): Promise<HeldCertificate | undefined> {
  const file = certificateFile(dir);
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  try {
    const [own, ...others] = certificatesIn(text);
    const leaf = new X509Certificate(own ?? '');
    const key = readPrivateKey(text);
    if (!leaf.checkPrivateKey(key)) throw new Error('the key is another one');
    return { cert: chainPem([new Uint8Array(leaf.raw), ...others]), key: privateKeyPem(key), leaf };
  } catch (cause) {
    throw new ViworksError(
      'config_invalid',
      `${file} is damaged; remove it, and the agent asks for a new one.`,
      {
        cause,
      },
    );
  }
}

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');
const bytesOf = (text: string) => new Uint8Array(Buffer.from(text, 'base64'));

const writeTrust = (dir: string, { document, signature, keyId }: TlsTrust): Promise<void> =>
  writeDurably(
    trustFile(dir),
    `${JSON.stringify({ document: base64(document), signature: base64(signature), keyId })}\n`,
  );

async function readTrust(
  dir: string,
  signers: readonly TrustSigner[],
  log: Logger,
): Promise<TrustDocument | undefined> {
  const file = trustFile(dir);
  const text = await readIfThere(file);
  if (text === undefined) return undefined;
  let message: TlsTrust;
  try {
    const { document, signature, keyId } = storedTrust.parse(JSON.parse(text));
    message = create(TlsTrustSchema, { document: bytesOf(document), signature: bytesOf(signature), keyId });
  } catch (cause) {
    throw new ViworksError('config_invalid', `${file} is damaged; enrol the agent anew.`, { cause });
  }
  try {
    return openTrust(message, signers);
  } catch (thrown) {
    log.warn(
      { file, reason: ViworksError.from(thrown).message },
      'stored trust is of another server; ignored',
    );
    return undefined;
  }
}
