import type { AgentIdentity } from '../../src/agent/identity.ts';
import { built } from './built.ts';

/** Enrols simulated agents with a control plane. */

const timeoutMs = 30_000;
const atOnce = 16;

/** @param first the number of the first; two fleets must not share names */
export const agentNames = (count: number, first = 0): string[] =>
  Array.from({ length: count }, (_, index) => `bench-${String(first + index).padStart(5, '0')}`);

export async function enrolAll(
  url: string,
  token: string,
  names: readonly string[],
): Promise<AgentIdentity[]> {
  const [{ enroll }, { generateKeyPair, signBytes }, { enrollInput }] = await Promise.all([
    built.enroll(),
    built.keys(),
    built.signed(),
  ]);
  return forEach(names, atOnce, async (agentId) => {
    const key = generateKeyPair();
    const signature = signBytes(key, enrollInput(token, agentId, key.publicKey));
    const request = { token, agentId, publicKey: key.publicKey, signature };
    const { incarnation, site, serverKeys } = await enroll({ url }, request, AbortSignal.timeout(timeoutMs));
    return {
      agentId,
      incarnation,
      site,
      key,
      serverKeys: serverKeys.map((server) => ({ ...server, notAfter: undefined })),
    };
  });
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
