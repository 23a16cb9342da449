import type { AgentIdentity } from '../../src/agent/identity.ts';
import { built } from './built.ts';

/** Enrols simulated agents with a control plane. */

const timeoutMs = 30_000;
const atOnce = 16;

/** @param first the number of the first; two fleets must not share names */
export const agentNames = (count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, index) => `bench-${String(first + index).padStart(5, '0')}`);

/** An identity and, where it was asked for, what the agent shows over TLS. */
export interface Enrolled {
  identity: AgentIdentity;
  certificate: { cert: string; key: string } | undefined;
}

export interface Enrolling {
  url: string;
  token: string;
  /** The server's key, where it is reached over TLS. */
  pin?: string | undefined;
  /** Asks for certificates. */
  certificates?: boolean | undefined;
}

export async function enrolAll(
  { url, token, pin, certificates = false }: Enrolling,
  names: readonly string[],
): Promise<Enrolled[]> {
  const [{ enroll }, { generateKeyPair, signBytes }, { enrollInput, certificateRequestInput }, x509] =
    await Promise.all([built.enroll(), built.keys(), built.signed(), built.x509()]);
  const tls = await pinned(pin);
  return forEach(names, atOnce, async (agentId) => {
    const key = generateKeyPair();
    const tlsKey = certificates ? x509.newTlsKey() : undefined;
    const signature = signBytes(key, enrollInput(token, agentId, key.publicKey));
    const certificateRequest = tlsKey === undefined ? new Uint8Array() : x509.writeRequest(tlsKey);
    const certificateSignature = signBytes(key, certificateRequestInput(agentId, certificateRequest));
    const asked = tlsKey === undefined ? {} : { certificateRequest, certificateSignature };
    const request = { token, agentId, publicKey: key.publicKey, signature, ...asked };
    const answer = await enroll({ url, tls }, request, AbortSignal.timeout(timeoutMs));
    const { incarnation, site } = answer;
    const serverKeys = answer.serverKeys.map((server) => ({ ...server, notAfter: undefined }));
    const chain = answer.certificate?.certificates;
    return {
      identity: { agentId, incarnation, site, key, serverKeys },
      certificate:
        tlsKey === undefined || chain === undefined
          ? undefined
          : { cert: x509.chainPem(chain), key: x509.privateKeyPem(tlsKey) },
    };
  });
}

/** What to believe of a server: its key alone. */
export async function pinned(pin: string | undefined): Promise<{ pins: Uint8Array[] } | undefined> {
  if (pin === undefined) return undefined;
  const read = (await built.pins()).readPin(pin);
  if (read === undefined) throw new Error(`${pin} is no pin`);
  return { pins: [read] };
}

/** Runs the work for every item, so many at once, and answers in order. */
export async function forEach<T, R>(
  items: readonly T[],
  concurrency: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += concurrency) {
    results.push(...(await Promise.all(items.slice(at, at + concurrency).map(work))));
  }
  return results;
}
