import { join, resolve } from 'node:path';
import { AgentService } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { healthRoutes } from './api/grpc/health.ts';
import { apiRoutes } from './api/grpc/routes.ts';
import { createHealthMonitor } from './api/health-monitor.ts';
import { createHttpApi } from './api/http.ts';
import { createTelemetryService } from './api/telemetry-service.ts';
import { composeAgentIdentity } from './app/agent-identity.ts';
import { composeAlerts, observed, withAlerts } from './app/alerts.ts';
import { auditedPresence } from './app/audited-presence.ts';
import { callLimitsOf } from './app/call-limits.ts';
import { createForgetting } from './app/forgetting.ts';
import type { Foundation } from './app/foundation.ts';
import { withFreshGauges } from './app/gauges.ts';
import { composeHealthReports } from './app/health.ts';
import { latestSamplesOf } from './app/latest-samples.ts';
import { named, urlOf } from './app/listeners.ts';
import { telemetrySettingsOf } from './app/telemetry-settings.ts';
import { composeWork } from './app/work.ts';
import { createAudit } from './audit/audit.ts';
import { openWitness } from './audit/witness.ts';
import { createMemoryBus } from './bus/bus.ts';
import type { CommandService } from './commands/service.ts';

import { noticesOf } from './config/notices.ts';
import type { Config } from './config/schema.ts';
import type { ViworksError } from './errors.ts';
import { createApiIdentity } from './identity/api-identity.ts';
import { configuredTls } from './identity/certificates/configured.ts';
import { loadSecrets } from './identity/secrets.ts';
import { createSessionTokens } from './identity/session-tokens.ts';
import type { EnrollmentTokenSpec } from './identity/types.ts';
import type { UserTokens } from './identity/user-tokens.ts';
import { createAddressList } from './lib/addresses.ts';
import { type Clock, systemClock } from './lib/clock.ts';
import { createLogger, type Logger } from './lib/logger.ts';
import { createMetrics } from './lib/metrics.ts';
import { createResources, type Resources } from './lib/resources.ts';
import { readPluginVerbs } from './protocol/plugin-verbs.ts';
import { createVerbCatalogue } from './protocol/verbs.ts';
import { createAgentRegistry } from './registry/agents.ts';
import { createPresence } from './registry/presence.ts';
import { createStanding } from './registry/standing.ts';
import { createSessions } from './session/sessions.ts';
import { countAgentsByStatus } from './storage/agents.ts';
import { countOpenStates } from './storage/executions.ts';
import { openDatabase } from './storage/open.ts';
import { endAbandonedSessions } from './storage/sessions.ts';
import { createTelemetry } from './telemetry/telemetry.ts';
import { createAgentListener } from './transport/agent-listener.ts';
import { enrollmentRoutes } from './transport/enrollment.ts';
import type { ListenerResponse } from './transport/http2-session.ts';
import { clearTextOnlyFrom, createListener } from './transport/listen.ts';
import { createUnaryHandler } from './transport/unary.ts';

/**
 * The composition root: with app/, all that sees everything. It turns a configuration into a running control
 * plane; what was started is stopped in reverse.
 */
export interface App {
  /** Where applications and operators connect, for example `http://127.0.0.1:8080`. */
  apiUrl: string;
  agentUrl: string;
  /** The key of the agents' listener, written `sha256/…`; undefined where it is not pinned. */
  serverPin(): Promise<string | undefined>;
  /** Where the truth is kept, in words for a person. */
  databaseName: string;
  /** The core itself, without an API around it. */
  commands: CommandService;
  issueToken: UserTokens['issue'];
  /** Calls the listener when tokens were revoked, or a key that signed some, until the returned function is called. */
  onTokensRevoked(listener: () => void): () => void;
  createEnrollmentToken(spec: EnrollmentTokenSpec): Promise<{ token: string; expiresAt: Date }>;
  /** Takes over what may change while it runs: `telemetry.collection_interval`. The rest waits for the next start. */
  reconfigure(config: Config): void;
  /** Drains, then ends everything that was started. Safe to call more than once. */
  stop(): Promise<void>;
}

/** Milliseconds. */
const telemetryIntervalOf = ({ telemetry }: Config) =>
  Math.max(1, Math.round(telemetry.collection_interval * 1000));

export interface AppOverrides {
  clock?: Clock;
  log?: Logger;
  /** Something that the service cannot do without has ended; the owner should stop and exit. */
  onFatal?: (error: ViworksError) => void;
  /** Milliseconds over which agents are told to come back after a stop. */
  drainWindowMs?: number;
  /** Milliseconds between looks for passed deadlines. */
  sweepIntervalMs?: number;
}

/** Starts everything. When it throws, nothing is left running. @throws config_invalid, database_in_use, … */
export async function startApp(config: Config, overrides: AppOverrides = {}): Promise<App> {
  const log = overrides.log ?? createLogger(config.logging);
  const resources = createResources(log);
  try {
    return await compose(config, overrides, log, resources);
  } catch (error) {
    await resources.stop();
    throw error;
  }
}

async function compose(
  config: Config,
  overrides: AppOverrides,
  log: Logger,
  resources: Resources,
): Promise<App> {
  const { add } = resources;
  const clock = overrides.clock ?? systemClock;
  const onFatal = overrides.onFatal ?? ((error) => log.fatal({ err: error }, 'the service cannot go on'));
  const dataDir = resolve(config.server.data_dir);
  const graceMs = config.server.drain_timeout * 1000;
  const verbs = createVerbCatalogue(config.command.plugins.map(readPluginVerbs));
  for (const { setting, text } of noticesOf(config, clock.now())) log.warn({ setting }, text);
  const metrics = createMetrics();
  const bus = createMemoryBus();
  const store = await openDatabase({
    url: config.database.url,
    dataDir,
    maxConnections: config.database.max_connections,
    connectTimeoutMs: config.database.connect_timeout * 1000,
    idleTimeoutMs: config.database.idle_timeout * 1000,
    log,
    onFatal,
    resources,
  });
  await endAbandonedSessions(store.query, new Date(clock.now()));
  const secrets = await loadSecrets({
    dataDir,
    serverKeyPath: config.security.backend_private_key_path,
    tokenSecretPath: config.security.token_secret_path,
    commandSecretPath: config.security.command_secret_path,
  });

  // The core.
  const { serverKey } = secrets;
  const audit = createAudit({
    database: store,
    key: serverKey,
    witness: await openWitness(join(dataDir, 'audit-witness.json')),
    clock,
    log,
    metrics,
    keepMs: Math.round(config.audit.retention * 86_400_000),
  });
  audit.start();
  add('audit log', audit.stop);
  const forgetting = createForgetting({ database: store, clock, log });
  forgetting.start();
  add('forgetting', forgetting.stop);
  const { trail } = audit;
  const { database } = trail;
  const { issuerKeys, serviceTokens, userTokens } = createApiIdentity({
    database,
    secret: secrets.tokenSecret,
    security: config.security,
    bus,
    clock,
    log,
    audit: trail,
  });
  const foundation: Foundation = { config, clock, log, metrics, bus, database, trail, secrets, resources };
  const { enrollment, enrollmentRequests, certificates, renewal, authentication, commandKeys } =
    await composeAgentIdentity(foundation);
  const alerts = await composeAlerts(foundation);
  const presence = createPresence({ database, bus, log, written: alerts.onAgent });
  add('presence', presence.idle);
  const telemetry = createTelemetry({
    database,
    clock,
    metrics,
    log,
    settings: telemetrySettingsOf(config.telemetry),
    latest: latestSamplesOf(foundation),
  });
  telemetry.onStored((samples) => alerts.onStored(samples.map(observed)));
  await telemetry.start();
  add('telemetry', telemetry.stop);
  // An instance that was killed may have stored them without looking at them.
  alerts.onStored((await telemetry.latest.list()).map(observed));
  let telemetryIntervalMs = telemetryIntervalOf(config);
  const healthReports = composeHealthReports(foundation, telemetry, () => telemetryIntervalMs);
  const { engine, templates, schedules } = composeWork(foundation, verbs, overrides.sweepIntervalMs);
  const hold = engine.setHeld;
  const agents = withAlerts(createAgentRegistry({ database, bus, clock, log, hold, telemetry }), alerts);
  const standing = createStanding({ database, bus, clock, log, metrics, hold, audit: trail });
  const sessions = createSessions({
    bus,
    authentication,
    sessionTokens: createSessionTokens(clock),
    commandKeys,
    certificates,
    presence: auditedPresence(presence, trail),
    standing,
    engine,
    telemetry,
    clock,
    log,
    metrics,
    budget: {
      messagesPerSecond: config.agent_management.max_messages_per_second,
      bytesPerSecond: config.agent_management.max_bytes_per_second,
    },
    limits: {
      heartbeatIntervalMs: Math.round(config.agent_management.heartbeat_interval * 1000),
      telemetryIntervalMs,
      reconnectBaseMs: config.agent_management.reconnect_backoff_ms,
      reconnectMaximumMs: config.agent_management.reconnect_backoff_max_ms,
    },
  });
  sessions.start();
  const health = createHealthMonitor({
    pingDatabase: database.ping,
    countAgents: () => countAgentsByStatus(database.query),
    countExecutions: () => countOpenStates(database.query),
    clock,
    intervalMs: 5000,
  });

  // The agents' listener.
  const proxies = createAddressList(config.server.trusted_proxies);
  const limits = callLimitsOf(config, resources, log);
  const agentListener = createAgentListener({
    host: config.agent_management.bind_address,
    port: config.agent_management.port,
    tls: certificates.tls,
    proxies,
    accept: sessions.accept,
    unary: (router) => {
      enrollmentRoutes(router, enrollment, enrollmentRequests, trail, limits, { certificates, renewal });
      healthRoutes(health.sourceFor([AgentService.typeName]))(router);
    },
    maxConnections: config.agent_management.max_agent_connections,
    maxHandshakes: config.agent_management.max_concurrent_handshakes,
    log,
  });
  certificates.onChange(() => {
    if (certificates.tls !== undefined) agentListener.setTls(certificates.tls);
  });
  await named('VIWORKS_AGENT_PORT', agentListener.start());
  add('agent listener', () => agentListener.stop(graceMs / 2));
  add('enrolment requests', enrollmentRequests.stop);

  // The listener of applications and operators.
  const api = {
    agents,
    commands: engine,
    rollouts: engine,
    templates,
    schedules,
    alerts,
    telemetry: createTelemetryService({ agents, telemetry }),
    healthReports,
    enrollmentTokens: enrollment,
    enrollment: { ...enrollment, ...enrollmentRequests },
    commandKeys,
    certificates,
    userTokens,
    serviceTokens,
    issuerKeys,
    health,
    metrics: withFreshGauges(metrics, database, health.report),
    log,
    clock,
    verbs,
    tokenLifetimeMs: config.security.jwt_expiration * 1000,
    audit: audit.service,
    trail,
    maxFleetShare: config.security.max_fleet_share,
    limits,
  };
  const stopping = new AbortController();
  const apiTls = await configuredTls(config.server, { clock, log });
  const http = await createHttpApi({
    ...api,
    corsOrigins: config.server.cors_origins,
    proxies,
    tls: apiTls !== undefined,
  });
  const rpc = createUnaryHandler(
    apiRoutes({ ...api, healthSource: health.sourceFor([ControlService.typeName]) }),
    // connect-node types the callbacks of a response a little wider than Node does.
    (request, response) => http.handler(request, response as ListenerResponse),
    log,
    stopping.signal,
    proxies,
  );
  const apiListener = createListener({
    host: config.server.bind_address,
    port: config.server.port,
    tls: apiTls?.current,
    ...clearTextOnlyFrom(proxies),
    onRequest: rpc,
    maxSockets: config.server.max_connections,
    log,
  });
  await named('VIWORKS_API_PORT', apiListener.start());
  add('api listener', () => apiListener.stop(graceMs / 2));
  if (apiTls !== undefined) {
    apiTls.onChange(() => apiListener.setTls(apiTls.current));
    apiTls.start();
    add('certificate of the api', apiTls.stop);
  }
  add('api', http.close);
  add('streams of the api', () => stopping.abort());
  add('sessions', () => sessions.drain(overrides.drainWindowMs ?? 5000));
  health.start();
  add('health', health.stop);

  return {
    apiUrl: urlOf(apiListener, apiTls),
    agentUrl: urlOf(agentListener, certificates.tls),
    serverPin: async () => (await certificates.pins()).primary,
    databaseName: config.database.url === undefined ? 'embedded PostgreSQL' : 'PostgreSQL of database.url',
    commands: engine,
    issueToken: (spec) =>
      trail.during({ actor: 'system:start', action: 'tokens.createApi', details: () => spec }, () =>
        userTokens.issue(spec),
      ),
    createEnrollmentToken: (spec) =>
      trail.during({ actor: 'system:start', action: 'tokens.createEnrollment', details: () => spec }, () =>
        enrollment.create('operator', spec),
      ),
    onTokensRevoked: (listener) => bus.subscribe('tokens.revoked', 'all', listener),
    reconfigure(changed) {
      telemetryIntervalMs = telemetryIntervalOf(changed);
      log.info({ telemetryIntervalMs }, 'the configuration was read again');
      sessions.setTelemetryInterval(telemetryIntervalMs);
    },
    stop: resources.stop,
  };
}
