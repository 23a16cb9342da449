import { createAgentAuthentication } from '../identity/authentication.ts';
import { createCertificates } from '../identity/certificates/certificates.ts';
import { certificateSettings } from '../identity/certificates/configured.ts';
import { createCertificateRenewal } from '../identity/certificates/renewal.ts';
import { createCommandKeys } from '../identity/command-keys.ts';
import { createEnrollment } from '../identity/enrollment.ts';
import { createEnrollmentRequests } from '../identity/enrollment-requests.ts';
import { isLoopback } from '../lib/addresses.ts';
import type { Foundation } from './foundation.ts';
import { nonceCachesOf } from './nonces.ts';

/** Who is an agent, how it shows it, and with which keys it is given orders. */
export async function composeAgentIdentity(foundation: Foundation) {
  const { config, clock, log, bus, database, trail, secrets, resources } = foundation;
  const { serverKey, commandSecret } = secrets;
  const { add } = resources;
  const enrollment = createEnrollment({ database, bus, serverKey, clock, log, audit: trail });
  const enrollmentRequests = createEnrollmentRequests({
    database,
    bus,
    serverKey,
    clock,
    log,
    enabled:
      config.agent_management.enrollment_requests ??
      (config.server.mode !== 'production' && isLoopback(config.agent_management.bind_address)),
  });
  const certificates = createCertificates({
    database,
    bus,
    serverKey,
    secret: commandSecret,
    settings: await certificateSettings(config, { clock, log }),
    clock,
    log,
    audit: trail,
  });
  await certificates.start();
  add('certificates', certificates.stop);
  const noncesFor = nonceCachesOf(config.redis.url, resources, clock, log);
  const refusedAgent =
    (action: string) =>
    (reason: string, agent: { agentId: string; keyId: string; address: string | undefined }) =>
      trail.refused({
        actor: `agent:${agent.agentId}`,
        address: agent.address,
        action,
        code: 'authentication_failed',
        details: () => ({ reason, keyId: agent.keyId }),
      });
  const renewal = createCertificateRenewal({
    database,
    nonces: noncesFor('renewals'),
    certificates,
    clock,
    log,
    onRefused: refusedAgent('certificates.renew'),
  });
  const authentication = createAgentAuthentication({
    database,
    serverKey,
    nonces: noncesFor('handshakes'),
    certificates,
    sealing: config.security.sealed_envelopes,
    tlsExporter: config.security.tls_exporter,
    clock,
    log,
    onRefused: refusedAgent('sessions.open'),
    keyMaxAgeMs: Math.round(config.agent_management.key_max_age * 86_400_000),
  });
  const commandKeys = createCommandKeys({ database, bus, serverKey, secret: commandSecret, clock, log });
  await commandKeys.start();
  add('command keys', commandKeys.stop);
  return { enrollment, enrollmentRequests, certificates, renewal, authentication, commandKeys };
}
