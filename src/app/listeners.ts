import { readFile } from 'node:fs/promises';
import { ViworksError } from '../errors.ts';

/** What both listeners need of the configuration. */

/** Undefined where it speaks clear text. */
export async function tlsOf(section: {
  tls_certificate_path?: string | undefined;
  tls_private_key_path?: string | undefined;
}) {
  const { tls_certificate_path: certificate, tls_private_key_path: key } = section;
  if (certificate === undefined || key === undefined) return undefined;
  return { cert: await readFile(certificate, 'utf8'), key: await readFile(key, 'utf8') };
}

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
export function urlOf(
  listener: { address: string },
  section: { tls_certificate_path?: string | undefined },
): string {
  const scheme = section.tls_certificate_path === undefined ? 'http' : 'https';
  return `${scheme}://${listener.address.replace(/^(0\.0\.0\.0|\[::\])(?=:\d+$)/, 'localhost')}`;
}
