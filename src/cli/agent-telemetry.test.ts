import { expect, test } from 'vitest';
import { clientEnvironment } from '../config/environment.ts';
import { type AgentTelemetryOptions, agentTelemetryOf } from './agent-telemetry.ts';

const read = (options: AgentTelemetryOptions, env: Record<string, string> = {}) =>
  agentTelemetryOf({ settings: clientEnvironment(env) }, options);

test('flags win over the environment, and that over the defaults', () => {
  expect(read({})).toMatchObject({
    services: [],
    metricsDir: undefined,
    spoolBounds: { maximumBytes: 32 * 1024 * 1024, maximumAgeMs: 7 * 86_400_000 },
  });
  const env = {
    VIWORKS_AGENT_SERVICES: 'nginx, cron,nginx',
    VIWORKS_AGENT_METRICS_DIR: '/var/lib/metrics',
    VIWORKS_AGENT_BUFFER_SIZE: '8',
    VIWORKS_AGENT_BUFFER_AGE: '12h',
  };
  expect(read({}, env)).toEqual({
    services: ['nginx', 'cron'],
    metricsDir: '/var/lib/metrics',
    spoolBounds: { maximumBytes: 8 * 1024 * 1024, maximumAgeMs: 43_200_000 },
  });
  expect(read({ service: ['sshd'], bufferSize: '1', bufferAge: '90' }, env)).toMatchObject({
    services: ['sshd'],
    spoolBounds: { maximumBytes: 1024 * 1024, maximumAgeMs: 90_000 },
  });
});

test.each<[AgentTelemetryOptions, Record<string, string>, RegExp]>([
  [{ service: ['-H'] }, {}, /^--service: -H is no name of a service/],
  [{}, { VIWORKS_AGENT_SERVICES: 'a b' }, /^VIWORKS_AGENT_SERVICES: a b is no name/],
  [{ bufferSize: '0' }, {}, /^--buffer-size: must be a whole number of megabytes/],
  [{}, { VIWORKS_AGENT_BUFFER_SIZE: 'much' }, /^VIWORKS_AGENT_BUFFER_SIZE: must be/],
  [{ bufferAge: '10s' }, {}, /^--buffer-age: must be a duration from 1m/],
])('%j with %j is refused', (options, env, message) => {
  expect(() => read(options, env)).toThrow(message);
});
