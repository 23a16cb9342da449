import { createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import type { TlsTerms } from '../../src/agent/transport/tls.ts';
import type { Certificates } from '../../src/identity/certificates/certificates.ts';
import { agentUri } from '../../src/protocol/certificates/agent-name.ts';
import { readPin } from '../../src/protocol/certificates/pins.ts';
import {
  chainPem,
  type Issuer,
  issueCertificate,
  makeAuthority,
  newTlsKey,
  privateKeyPem,
  writeRequest,
} from '../../src/protocol/certificates/x509.ts';
import type { Core } from './app-core.ts';

/** Certificates as the server issues them, and as others would. */

export function certificatesOf(core: Pick<Core, 'certificates'>): Certificates {
  if (core.certificates === undefined) throw new Error('a core without certificates');
  return core.certificates;
}

/** The pins of the server now. */
export async function pinsOf(core: Pick<Core, 'certificates'>): Promise<Uint8Array[]> {
  const { primary, backups } = await certificatesOf(core).pins();
  return [primary ?? '', ...backups].flatMap((text) => readPin(text) ?? []);
}

export interface HeldCertificate {
  cert: string;
  key: string;
  serial: string;
}

/** Issued by the core for an agent. */
export async function issuedBy(
  core: Pick<Core, 'certificates'>,
  agent: { agentId: string; incarnation: number },
): Promise<HeldCertificate> {
  const key = newTlsKey();
  const { message } = await certificatesOf(core).issueTo(agent, writeRequest(key), 'request');
  return held(message.certificates, key);
}

/** What an agent shows, to a server whose key it knows. */
export async function showing(
  core: Pick<Core, 'certificates'>,
  certificate?: HeldCertificate,
): Promise<TlsTerms> {
  return { pins: await pinsOf(core), ...(certificate === undefined ? {} : { certificate }) };
}

/** An authority that nobody knows. */
export function strangeAuthority(now: number): Issuer {
  const key = newTlsKey();
  const terms = { subject: 'a stranger', notBefore: now - 60_000, notAfter: now + 86_400_000 };
  return { certificate: new X509Certificate(makeAuthority(terms, key)), key };
}

/** A certificate for an agent by any authority. */
export function issuedByStranger(
  issuer: Issuer,
  agent: { agentId: string; incarnation: number },
  now: number,
): HeldCertificate {
  const key = newTlsKey();
  const certificate = issueCertificate(
    {
      subject: agent.agentId,
      publicKey: createPublicKey(key),
      use: 'client',
      names: [agentUri('test', agent)],
      notBefore: now - 60_000,
      notAfter: now + 3_600_000,
    },
    issuer,
  );
  return held([certificate], key);
}

function held(certificates: readonly Uint8Array[], key: KeyObject): HeldCertificate {
  const cert = chainPem(certificates);
  return { cert, key: privateKeyPem(key), serial: new X509Certificate(cert).serialNumber };
}
