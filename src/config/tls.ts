import type { Config } from './schema.ts';

/** What follows from several settings about TLS between agents and server. */

type TlsSettings = Pick<Config, 'server' | 'agent_management'>;

/** Where the certificate of the agents' listener comes from; none: it speaks in clear text. */
export function agentTlsOf({ server, agent_management: agents }: TlsSettings): 'files' | 'built-in' | 'none' {
  if (agents.tls_certificate_path !== undefined) return 'files';
  const behindProxy = agents.allow_clear_text || server.trusted_proxies.length > 0;
  const builtIn = agents.built_in_tls ?? (server.mode === 'production' && !behindProxy);
  return builtIn ? 'built-in' : 'none';
}

/** Whether agents show certificates. */
export function clientCertificatesOf(config: TlsSettings): 'off' | 'on' | 'required' {
  return config.agent_management.client_certificates ?? (agentTlsOf(config) === 'none' ? 'off' : 'on');
}
