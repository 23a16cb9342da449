/**
 * What is measured is the build, because that is what people run: type stripping at run time would add its own
 * memory, and the load of its compiler, to every figure. The types come from the sources.
 */
const load = (file: string): Promise<unknown> => import(new URL(`../../dist/${file}`, import.meta.url).href);

export const builtMain: string = new URL('../../dist/main.js', import.meta.url).pathname;

export const built = {
  app: () => load('app.js') as Promise<typeof import('../../src/app.ts')>,
  config: () => load('config/schema.js') as Promise<typeof import('../../src/config/schema.ts')>,
  errors: () => load('errors.js') as Promise<typeof import('../../src/errors.ts')>,
  logger: () => load('lib/logger.js') as Promise<typeof import('../../src/lib/logger.ts')>,
  client: () => load('api/client.js') as Promise<typeof import('../../src/api/client.ts')>,
  agent: () => load('agent/agent.js') as Promise<typeof import('../../src/agent/agent.ts')>,
  executor: () =>
    load('agent/executors/executor.js') as Promise<typeof import('../../src/agent/executors/executor.ts')>,
  ledger: () => load('agent/ledger.js') as Promise<typeof import('../../src/agent/ledger.ts')>,
  handshake: () => load('agent/handshake.js') as Promise<typeof import('../../src/agent/handshake.ts')>,
  commandTrust: () =>
    load('agent/command-trust.js') as Promise<typeof import('../../src/agent/command-trust.ts')>,
  sealing: () =>
    load('protocol/sealing/connection.js') as Promise<
      typeof import('../../src/protocol/sealing/connection.ts')
    >,
  primitives: () =>
    load('protocol/sealing/primitives.js') as Promise<
      typeof import('../../src/protocol/sealing/primitives.ts')
    >,
  x509: () =>
    load('protocol/certificates/x509.js') as Promise<
      typeof import('../../src/protocol/certificates/x509.ts')
    >,
  pins: () =>
    load('protocol/certificates/pins.js') as Promise<
      typeof import('../../src/protocol/certificates/pins.ts')
    >,
  clock: () => load('lib/clock.js') as Promise<typeof import('../../src/lib/clock.ts')>,
  reconnect: () => load('agent/reconnect.js') as Promise<typeof import('../../src/agent/reconnect.ts')>,
  enroll: () =>
    load('agent/transport/enroll.js') as Promise<typeof import('../../src/agent/transport/enroll.ts')>,
  connect: () =>
    load('agent/transport/connect.js') as Promise<typeof import('../../src/agent/transport/connect.ts')>,
  webSocket: () =>
    load('agent/transport/websocket.js') as Promise<typeof import('../../src/agent/transport/websocket.ts')>,
  embedded: () =>
    load('storage/embedded/embedded.js') as Promise<typeof import('../../src/storage/embedded/embedded.ts')>,
  database: () => load('storage/database.js') as Promise<typeof import('../../src/storage/database.ts')>,
  migrate: () => load('storage/migrate.js') as Promise<typeof import('../../src/storage/migrate.ts')>,
  metrics: () => load('lib/metrics.js') as Promise<typeof import('../../src/lib/metrics.ts')>,
  telemetry: () =>
    load('telemetry/telemetry.js') as Promise<typeof import('../../src/telemetry/telemetry.ts')>,
  latestShared: () =>
    load('telemetry/latest-shared.js') as Promise<typeof import('../../src/telemetry/latest-shared.ts')>,
  redisNewest: () => load('bus/redis-newest.js') as Promise<typeof import('../../src/bus/redis-newest.ts')>,
  order: () =>
    load('storage/telemetry-order.js') as Promise<typeof import('../../src/storage/telemetry-order.ts')>,
  partitions: () =>
    load('storage/telemetry-partitions.js') as Promise<
      typeof import('../../src/storage/telemetry-partitions.ts')
    >,
  rollups: () =>
    load('storage/telemetry-rollups.js') as Promise<typeof import('../../src/storage/telemetry-rollups.ts')>,
  telemetryMetrics: () =>
    load('storage/telemetry-metrics.js') as Promise<typeof import('../../src/storage/telemetry-metrics.ts')>,
  spans: () =>
    load('storage/telemetry-spans.js') as Promise<typeof import('../../src/storage/telemetry-spans.ts')>,
  storedNewest: () =>
    load('storage/telemetry-newest.js') as Promise<typeof import('../../src/storage/telemetry-newest.ts')>,
  keys: () => load('protocol/keys.js') as Promise<typeof import('../../src/protocol/keys.ts')>,
  signed: () => load('protocol/signed.js') as Promise<typeof import('../../src/protocol/signed.ts')>,
};
