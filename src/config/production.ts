import { isLoopback } from '../lib/addresses.ts';
import { configError, type NameOf } from './problem.ts';
import type { Config } from './schema.ts';
import { isCommonPassword } from './secrets.ts';

/**
 * What is convenient on a developer's machine and dangerous elsewhere stops the start in production mode. What is
 * wrong everywhere is refused in every mode, by the rules beside this file.
 */

/** @throws config_invalid */
export function checkProduction(config: Config, nameOf: NameOf): void {
  for (const section of ['server', 'agent_management'] as const) {
    const { allow_clear_text: clearText, bind_address: address } = config[section];
    if (!clearText || isLoopback(address) || config.server.trusted_proxies.length > 0) continue;
    throw configError(
      nameOf(`${section}.allow_clear_text`),
      'in production clear text is taken only from a proxy that ends TLS: name it in server.trusted_proxies, or set ' +
        `${section}.tls_certificate_path`,
    );
  }
  if (config.server.cors_origins.includes('*')) {
    throw configError(nameOf('server.cors_origins'), 'must name the origins in production; * is everybody');
  }
  if (config.database.url !== undefined) checkDatabaseUrl(config.database.url, nameOf('database.url'));
}

function checkDatabaseUrl(text: string, name: string): void {
  // Between user and path the host may be missing, where it is a folder with a socket.
  const url = URL.parse(text) ?? URL.parse(text.replace('@/', '@localhost/'));
  if (url === null) throw configError(name, 'must be a URL such as postgres://user:password@host/name');
  const host = url.searchParams.get('host') ?? url.hostname;
  const password = url.searchParams.get('password') ?? decoded(url.password);
  const local = host === '' || host.startsWith('/') || isLoopback(host);
  if (isCommonPassword(password) && !(local && password === '')) {
    throw configError(
      name,
      'has the password of an example, or none; give the user of the database one of its own',
    );
  }
}

/** The driver takes a % that begins no code as it stands. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
