import { X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { isLoopback } from '../lib/addresses.ts';
import type { Config } from './schema.ts';

/** Something that works now and deserves a look before it does not. */
export interface Notice {
  /** `section.key`. */
  setting: string;
  text: string;
}

const dayMs = 86_400_000;
/** Days before its end from which a certificate is spoken of. */
const soonDays = 30;

/** @param now milliseconds since 1970 */
export function noticesOf(config: Config, now: number): Notice[] {
  const notices: Notice[] = [];
  const add = (setting: string, text: string) => notices.push({ setting, text });
  for (const section of ['server', 'agent_management'] as const) {
    const listener = config[section];
    const { tls_certificate_path: certificate, tls_private_key_path: key } = listener;
    if (certificate !== undefined) {
      const end = new X509Certificate(readFileSync(certificate)).validToDate;
      const days = Math.floor((end.getTime() - now) / dayMs);
      if (days < soonDays)
        add(`${section}.tls_certificate_path`, `the certificate expires in ${days} days; renew it`);
    }
    if (key !== undefined && othersMayRead(key))
      add(`${section}.tls_private_key_path`, `every user of this machine may read ${key}; chmod 600 it`);
    if (config.server.mode === 'development' && !isLoopback(listener.bind_address))
      add(
        'server.mode',
        `${section}.bind_address is not loopback; production mode is stricter about what is safe`,
      );
  }
  const { backend_private_key_path: identity } = config.security;
  if (identity !== undefined && othersMayRead(identity))
    add('security.backend_private_key_path', `every user of this machine may read ${identity}; chmod 600 it`);
  return notices;
}

const othersMayRead = (path: string): boolean => (statSync(path).mode & 0o004) !== 0;
