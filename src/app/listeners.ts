import { ViworksError } from '../errors.ts';

/** What both listeners need of the configuration. */

/** Says which setting a listener's address comes from. */
export async function named<T>(setting: string, starting: Promise<T>): Promise<T> {
  try {
    return await starting;
  } catch (error) {
    const known = ViworksError.from(error);
    throw new ViworksError(known.code, `${setting}: ${known.message}`, { cause: known.cause });
  }
}

/** An address that listens everywhere is reached here by name, which is also what a certificate has. */
export function urlOf(listener: { address: string }, tls: object | undefined): string {
  const scheme = tls === undefined ? 'http' : 'https';
  return `${scheme}://${listener.address.replace(/^(0\.0\.0\.0|\[::\])(?=:\d+$)/, 'localhost')}`;
}
