import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { configError } from './problem.ts';

/** Files with certificates and keys, as settings name them. */

/** @throws config_invalid */
export function checkValidity(
  { validFromDate, validToDate }: X509Certificate,
  name: string,
  now: number,
): void {
  const day = (date: Date) => date.toISOString().slice(0, 16);
  if (validToDate.getTime() <= now)
    throw configError(name, `expired at ${day(validToDate)} UTC; renew the certificate`);
  if (validFromDate.getTime() > now) {
    const problem = `is valid only from ${day(validFromDate)} UTC; check the clock, or use one that is valid now`;
    throw configError(name, problem);
  }
}

/** @throws config_invalid */
export function privateKey(path: string, name: string): KeyObject {
  const pem = contentsOf(path, name);
  try {
    return createPrivateKey(pem);
  } catch {
    throw configError(name, `${path} holds no private key in PEM form`);
  }
}

/** The first one in a file. @throws config_invalid */
export function certificateIn(path: string, name: string): X509Certificate {
  const pem = contentsOf(path, name);
  try {
    return new X509Certificate(pem);
  } catch {
    throw configError(name, `${path} holds no certificate in PEM form`);
  }
}

function contentsOf(path: string, name: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw configError(name, `${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
