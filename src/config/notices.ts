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
  const expiry = (setting: string, path: string) => {
    const end = new X509Certificate(readFileSync(path)).validToDate;
    const days = Math.floor((end.getTime() - now) / dayMs);
    if (days < soonDays) add(setting, `the certificate expires in ${days} days; renew it`);
  };
  const readable = (setting: string, path: string | undefined) => {
    if (path !== undefined && othersMayRead(path))
      add(setting, `every user of this machine may read ${path}; chmod 600 it`);
  };
  for (const section of ['server', 'agent_management'] as const) {
    const listener = config[section];
    const { tls_certificate_path: certificate, tls_private_key_path: key } = listener;
    if (certificate !== undefined) expiry(`${section}.tls_certificate_path`, certificate);
    readable(`${section}.tls_private_key_path`, key);
    if (config.server.mode === 'development' && !isLoopback(listener.bind_address))
      add(
        'server.mode',
        `${section}.bind_address is not loopback; production mode is stricter about what is safe`,
      );
  }
  const { security } = config;
  for (const key of [
    'backend_private_key_path',
    'ca_private_key_path',
    'command_secret_path',
    'token_secret_path',
  ] as const)
    readable(`security.${key}`, security[key]);
  if (security.ca_certificate_path !== undefined)
    expiry('security.ca_certificate_path', security.ca_certificate_path);
  if (config.server.mode === 'production' && config.security.rate_limit_requests === 0)
    add('security.rate_limit_requests', 'is 0: any client may make any number of calls');
  return notices;
}

/** A file that is not there stops the start elsewhere. */
const othersMayRead = (path: string): boolean =>
  ((statSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o004) !== 0;
