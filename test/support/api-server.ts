import { once } from 'node:events';
import { createServer as createHttpServer, type ServerResponse } from 'node:http';
import { createServer as createHttp2Server, type Http2Session } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { createClient, createContextValues } from '@connectrpc/connect';
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  Http2SessionManager,
} from '@connectrpc/connect-node';
import { createTRPCClient, httpBatchLink, httpLink, httpSubscriptionLink, splitLink } from '@trpc/client';
import { ControlService } from '#gen/viworks/control/v1/control_service_pb.js';
import { type AppRouter, HeaderEventSource } from '../../src/api/client.ts';
import type { HealthSource, ServingStatus } from '../../src/api/grpc/health.ts';
import { apiRoutes } from '../../src/api/grpc/routes.ts';
import type { HealthReport } from '../../src/api/health-report.ts';
import { createHttpApi } from '../../src/api/http.ts';
import { type CallLimitSettings, createCallLimits } from '../../src/api/limits.ts';
import { createMemoryRates } from '../../src/bus/rates.ts';
import type { Role } from '../../src/identity/types.ts';
import { createAddressList } from '../../src/lib/addresses.ts';
import { systemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { createMetrics } from '../../src/lib/metrics.ts';
import type { Scope } from '../../src/lib/scope.ts';
import type { LiveService } from '../../src/live/types.ts';
import { remoteAddress } from '../../src/protocol/peer.ts';
import { builtInCatalogue, type VerbCatalogue } from '../../src/protocol/verbs.ts';
import type { Agent } from '../../src/registry/types.ts';
import { memoryAlerts } from './api-alerts.ts';
import { memoryAudit } from './api-audit.ts';
import { memoryAutomation } from './api-automation.ts';
import { memoryCertificates } from './api-certificates.ts';
import { memoryEnrollment } from './api-enrollment.ts';
import { memoryHealthReports } from './api-health.ts';
import { memoryIdentity } from './api-identity.ts';
import { memoryCommandKeys } from './api-keys.ts';
import { memoryLive } from './api-live.ts';
import { agentNamed, memoryAgents, memoryCommands, memoryEnrollmentTokens } from './api-ports.ts';
import { memoryRollouts } from './api-rollouts.ts';
import { memoryTelemetry } from './api-telemetry.ts';

export type TestApi = Awaited<ReturnType<typeof startApi>>;

/** The whole API on real sockets: HTTP/1.1 on one port, HTTP/2 without TLS on another. */
export async function startApi(
  options: {
    corsOrigins?: string[];
    /** As if the listener ended TLS. */
    tls?: boolean;
    agents?: Agent[];
    verbs?: VerbCatalogue;
    /** Instead of what is kept in memory. */
    live?: LiveService;
    /** Without them nothing is limited. */
    limits?: Partial<CallLimitSettings>;
  } = {},
) {
  const { userTokens, serviceTokens, issuerKeys } = memoryIdentity();
  const health: { report: HealthReport } = { report: healthyReport() };
  const commands = memoryCommands();
  const enrollmentTokens = memoryEnrollmentTokens();
  const metrics = createMetrics();
  const { left: audited, ...auditing } = memoryAudit();
  const live = memoryLive();
  const agents = memoryAgents(options.agents ?? [agentNamed('alpha'), agentNamed('beta', { site: 'paris' })]);
  const telemetry = memoryTelemetry(agents);
  const deps = {
    agents,
    telemetry,
    healthReports: memoryHealthReports(agents),
    commands,
    alerts: memoryAlerts(),
    live: options.live ?? live,
    rollouts: memoryRollouts(commands),
    ...memoryAutomation(commands),
    ...auditing,
    enrollmentTokens,
    enrollment: memoryEnrollment(),
    commandKeys: memoryCommandKeys(),
    certificates: memoryCertificates(),
    userTokens,
    serviceTokens,
    issuerKeys,
    health: { report: async () => health.report },
    metrics,
    log: silentLogger,
    clock: systemClock,
    tokenLifetimeMs: 3_600_000,
    verbs: options.verbs ?? builtInCatalogue,
    limits: memoryLimits(options.limits),
  };
  const healthSource = memoryHealth();
  const stopping = new AbortController();
  const api = await createHttpApi({
    ...deps,
    corsOrigins: options.corsOrigins ?? [],
    tls: options.tls ?? false,
    proxies: createAddressList([]),
  });
  const handler = connectNodeAdapter({
    routes: apiRoutes({ ...deps, healthSource }),
    fallback: (request, response) => api.handler(request, response as ServerResponse),
    shutdownSignal: stopping.signal,
    contextValues: ({ socket }) => createContextValues().set(remoteAddress, socket.remoteAddress ?? ''),
  });
  const http1 = createHttpServer(handler);
  const http2 = createHttp2Server(handler);
  const sessions = new Set<Http2Session>();
  http2.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  const ports: number[] = [];
  for (const server of [http1, http2]) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  const [url1 = '', url2 = ''] = ports.map((port) => `http://127.0.0.1:${port}`);
  const managers: Http2SessionManager[] = [];

  const tokenFor = (role: Role, scope?: Scope) =>
    userTokens.issue({ subject: `the ${role}`, role, lifetimeMs: 60_000, scope });
  const authorization = async (role: Role) => ({ authorization: `Bearer ${await tokenFor(role)}` });

  return {
    url1,
    url2,
    /** What a listener hands its requests to. */
    handler,
    address2: `127.0.0.1:${ports[1]}`,
    commands,
    live,
    telemetry,
    enrollmentTokens,
    health,
    /** What calls left in the audit log. */
    audited,
    healthSource,
    metrics,
    tokenFor,
    authorization,
    routes: () => api.routes,
    userTokens,
    serviceTokens,
    /** Breaks every connection of HTTP/1.1, as a network does. */
    breakConnections: () => http1.closeAllConnections(),
    /** As above, and nobody is let in again until the function that it answers with is called. */
    breakAndRefuse() {
      const refuse = (socket: Socket) => socket.destroy();
      http1.on('connection', refuse);
      http1.closeAllConnections();
      return () => void http1.off('connection', refuse);
    },
    drain: () => api.close(),
    stopStreams: () => stopping.abort(new Error('the server stops')),

    async trpc(role: Role = 'admin', batch = true) {
      return trpcClient(url1, await authorization(role), batch);
    },

    trpcWith: (token: string) => trpcClient(url1, { authorization: `Bearer ${token}` }),

    /** A client of the control service that speaks the named protocol. */
    async control(protocol: 'grpc' | 'connect', role: Role = 'admin') {
      const { transport, manager } = rpcTransport(url2, protocol, await authorization(role));
      managers.push(manager);
      return createClient(ControlService, transport);
    },

    /** A transport without a token, or with what `headers` says. */
    transport(protocol: 'grpc' | 'connect', headers: Record<string, string> = {}) {
      const { transport, manager } = rpcTransport(url2, protocol, headers);
      managers.push(manager);
      return transport;
    },

    async [Symbol.asyncDispose]() {
      for (const manager of managers) manager.abort();
      stopping.abort();
      await api.close();
      http1.closeAllConnections();
      for (const session of sessions) session.destroy();
      await Promise.all([http1, http2].map((server) => new Promise((done) => server.close(done))));
    },
  };
}

function trpcClient(url: string, headers: Record<string, string>, batch = true) {
  const endpoint = { url: `${url}/trpc`, headers };
  return createTRPCClient<AppRouter>({
    links: [
      splitLink({
        condition: (operation) => operation.type === 'subscription',
        true: httpSubscriptionLink({
          url: endpoint.url,
          EventSource: HeaderEventSource,
          eventSourceOptions: { headers },
        }),
        false: batch ? httpBatchLink(endpoint) : httpLink(endpoint),
      }),
    ],
  });
}

function rpcTransport(baseUrl: string, protocol: 'grpc' | 'connect', headers: Record<string, string>) {
  const sessionManager = new Http2SessionManager(baseUrl);
  const create = protocol === 'grpc' ? createGrpcTransport : createConnectTransport;
  const transport = create({
    baseUrl,
    httpVersion: '2',
    sessionManager,
    interceptors: [
      (next) => (request) => {
        for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
        return next(request);
      },
    ],
  });
  return { transport, manager: sessionManager };
}

function memoryLimits(settings: Partial<CallLimitSettings> = {}) {
  const { windowSeconds = 60 } = settings;
  return createCallLimits({
    calls: createMemoryRates({ windowSeconds }),
    failures: createMemoryRates({ windowSeconds }),
    settings: {
      callsPerWindow: 0,
      windowSeconds,
      failuresPerWindow: 0,
      streams: 0,
      local: true,
      ...settings,
    },
  });
}

function healthyReport(): HealthReport {
  return {
    status: 'ok',
    version: '0.1.0',
    uptimeMs: 1234,
    components: [{ name: 'database', status: 'ok', detail: '' }],
    agents: { online: 1, degraded: 0, offline: 1, maintenance: 0, held: 0, revoked: 0 },
    executions: { queued: 2 },
  };
}

function memoryHealth(): HealthSource & { set(status: ServingStatus): void; listeners(): number } {
  const names = ['', 'viworks.control.v1.ControlService'];
  const listeners = new Set<() => void>();
  let status: ServingStatus = 'serving';
  return {
    services: names,
    check: (service) => (names.includes(service) ? status : undefined),
    subscribe(changed) {
      listeners.add(changed);
      return () => listeners.delete(changed);
    },
    set(next) {
      status = next;
      for (const changed of listeners) changed();
    },
    listeners: () => listeners.size,
  };
}
