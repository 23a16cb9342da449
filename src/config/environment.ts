import { nearest } from './nearest.ts';

/** Every name that is read from the environment, in one place. */

type ValueType = 'text' | 'number' | 'seconds' | 'flag' | 'list';

export interface EnvironmentSetting {
  name: string;
  /** Section and key in the TOML file. */
  key: string;
  type: ValueType;
}

const setting = (name: string, key: string, type: ValueType = 'text'): EnvironmentSetting => ({
  name,
  key,
  type,
});

export const environmentSettings: readonly EnvironmentSetting[] = [
  setting('VIWORKS_MODE', 'server.mode'),
  setting('VIWORKS_DATA_DIR', 'server.data_dir'),
  setting('VIWORKS_API_BIND_ADDRESS', 'server.bind_address'),
  setting('VIWORKS_API_PORT', 'server.port', 'number'),
  setting('VIWORKS_API_CORS_ORIGINS', 'server.cors_origins', 'list'),
  setting('VIWORKS_API_TLS_CERTIFICATE_PATH', 'server.tls_certificate_path'),
  setting('VIWORKS_API_TLS_PRIVATE_KEY_PATH', 'server.tls_private_key_path'),
  setting('VIWORKS_API_ALLOW_CLEAR_TEXT', 'server.allow_clear_text', 'flag'),
  setting('VIWORKS_TRUSTED_PROXIES', 'server.trusted_proxies', 'list'),
  setting('VIWORKS_DRAIN_TIMEOUT', 'server.drain_timeout', 'seconds'),
  setting('DATABASE_URL', 'database.url'),
  setting('DATABASE_MAX_CONNECTIONS', 'database.max_connections', 'number'),
  setting('REDIS_URL', 'redis.url'),
  setting('JWT_SECRET', 'security.jwt_secret'),
  setting('JWT_EXPIRATION', 'security.jwt_expiration', 'seconds'),
  setting('JWT_ISSUER', 'security.jwt_issuer'),
  setting('JWT_AUDIENCE', 'security.jwt_audience'),
  setting('JWKS_URL', 'security.jwks_url'),
  setting('TOKEN_SECRET_PATH', 'security.token_secret_path'),
  setting('MAX_FLEET_SHARE', 'security.max_fleet_share', 'number'),
  setting('BACKEND_PRIVATE_KEY_PATH', 'security.backend_private_key_path'),
  setting('SEALED_ENVELOPES', 'security.sealed_envelopes'),
  setting('TLS_EXPORTER', 'security.tls_exporter'),
  setting('RATE_LIMIT_REQUESTS', 'security.rate_limit_requests', 'number'),
  setting('RATE_LIMIT_WINDOW', 'security.rate_limit_window', 'seconds'),
  setting('COMMAND_SECRET_PATH', 'security.command_secret_path'),
  setting('VIWORKS_AGENT_BIND_ADDRESS', 'agent_management.bind_address'),
  setting('VIWORKS_AGENT_PORT', 'agent_management.port', 'number'),
  setting('VIWORKS_AGENT_TLS_CERTIFICATE_PATH', 'agent_management.tls_certificate_path'),
  setting('VIWORKS_AGENT_TLS_PRIVATE_KEY_PATH', 'agent_management.tls_private_key_path'),
  setting('VIWORKS_AGENT_ALLOW_CLEAR_TEXT', 'agent_management.allow_clear_text', 'flag'),
  setting('VIWORKS_AGENT_BUILT_IN_TLS', 'agent_management.built_in_tls', 'flag'),
  setting('VIWORKS_AGENT_TLS_NAMES', 'agent_management.tls_names', 'list'),
  setting('AGENT_CLIENT_CERTIFICATES', 'agent_management.client_certificates'),
  setting('AGENT_CERTIFICATE_LIFETIME', 'agent_management.certificate_lifetime', 'seconds'),
  setting('CA_CERTIFICATE_PATH', 'security.ca_certificate_path'),
  setting('CA_PRIVATE_KEY_PATH', 'security.ca_private_key_path'),
  setting('BACKEND_AGENT_BIND_ADDRESS', 'agent_management.bind_address'),
  setting('BACKEND_AGENT_PORT', 'agent_management.port', 'number'),
  setting('MAX_AGENT_CONNECTIONS', 'agent_management.max_agent_connections', 'number'),
  setting('AGENT_ENROLLMENT_REQUESTS', 'agent_management.enrollment_requests', 'flag'),
  setting('AGENT_HEARTBEAT_INTERVAL', 'agent_management.heartbeat_interval', 'seconds'),
  setting('COMMAND_TIMEOUT', 'command.command_timeout', 'seconds'),
  setting('COMMAND_MAX_RETRIES', 'command.max_retries', 'number'),
  setting('COMMAND_APPROVAL', 'command.approval'),
  setting('COMMAND_RETENTION_DAYS', 'command.retention', 'number'),
  setting('MAX_COMMAND_QUEUE_SIZE', 'command.max_command_queue_size', 'number'),
  setting('MAX_CONCURRENT_COMMANDS', 'command.max_concurrent_commands', 'number'),
  setting('VIWORKS_PLUGINS', 'command.plugins', 'list'),
  setting('TELEMETRY_COLLECTION_INTERVAL', 'telemetry.collection_interval', 'seconds'),
  setting('TELEMETRY_RETENTION_DAYS', 'telemetry.retention', 'number'),
  setting('TELEMETRY_ROLLUP_RETENTION_DAYS', 'telemetry.rollup_retention', 'number'),
  setting('TELEMETRY_ANOMALY_DETECTION', 'telemetry.anomaly_detection', 'flag'),
  setting('ALERT_RETENTION_DAYS', 'alerts.retention', 'number'),
  setting('AUDIT_RETENTION_DAYS', 'audit.retention', 'number'),
  setting('LOG_LEVEL', 'logging.level'),
  setting('LOG_FORMAT', 'logging.format'),
];

/** Names that the command line reads itself. */
const clientNames = [
  'VIWORKS_CONFIG',
  'VIWORKS_URL',
  'VIWORKS_TOKEN',
  'VIWORKS_AGENT_URL',
  'VIWORKS_AGENT_PLUGINS',
  'VIWORKS_AGENT_SEALING',
  'VIWORKS_AGENT_SERVICES',
  'VIWORKS_AGENT_METRICS_DIR',
  'VIWORKS_AGENT_BUFFER_SIZE',
  'VIWORKS_AGENT_BUFFER_AGE',
  'VIWORKS_SERVER_PIN',
  'VIWORKS_ENROLLMENT_TOKEN',
  'VIWORKS_DEBUG',
] as const;

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the command line takes from the environment. */
export interface ClientEnvironment {
  configFile: string | undefined;
  url: string | undefined;
  token: string | undefined;
  agentUrl: string | undefined;
  /** Modules that run further verbs. */
  agentPlugins: string[];
  agentSealing: string | undefined;
  /** Services whose state an agent tells. */
  agentServices: string[];
  /** Where an agent finds custom metrics. */
  agentMetricsDir: string | undefined;
  /** Bounds of the telemetry that waits for the control plane, as the flags are written. */
  agentBufferSize: string | undefined;
  agentBufferAge: string | undefined;
  /** Keys that the server may have at the first contact. */
  serverPins: string[];
  enrollmentToken: string | undefined;
  debug: boolean;
  color: boolean;
  /** The terminal shows more than ASCII. */
  unicode: boolean;
}

/** The environment of this process; everything else is handed what it needs. */
export const processEnvironment = (): Environment => process.env;

export const listOf = (text: string): string[] => text.split(',').map((item) => item.trim());

/** An empty value counts as none, except for NO_COLOR, where it means nothing either (no-color.org). */
export function clientEnvironment(env: Environment): ClientEnvironment {
  return {
    configFile: env.VIWORKS_CONFIG || undefined,
    url: env.VIWORKS_URL || undefined,
    token: env.VIWORKS_TOKEN || undefined,
    agentUrl: env.VIWORKS_AGENT_URL || undefined,
    agentPlugins: env.VIWORKS_AGENT_PLUGINS ? listOf(env.VIWORKS_AGENT_PLUGINS) : [],
    agentSealing: env.VIWORKS_AGENT_SEALING || undefined,
    agentServices: env.VIWORKS_AGENT_SERVICES ? listOf(env.VIWORKS_AGENT_SERVICES) : [],
    agentMetricsDir: env.VIWORKS_AGENT_METRICS_DIR || undefined,
    agentBufferSize: env.VIWORKS_AGENT_BUFFER_SIZE || undefined,
    agentBufferAge: env.VIWORKS_AGENT_BUFFER_AGE || undefined,
    serverPins: env.VIWORKS_SERVER_PIN ? listOf(env.VIWORKS_SERVER_PIN) : [],
    enrollmentToken: env.VIWORKS_ENROLLMENT_TOKEN || undefined,
    debug: Boolean(env.VIWORKS_DEBUG) && env.VIWORKS_DEBUG !== '0',
    color: !env.NO_COLOR && env.TERM !== 'dumb',
    unicode: /utf-?8/i.test(env.LC_ALL || env.LC_CTYPE || env.LANG || '') && env.TERM !== 'dumb',
  };
}

/** A name of ours that nobody reads is a mistake that would otherwise stay unseen. */
export function unknownName(env: Environment): { name: string; suggestion: string | undefined } | undefined {
  const known: string[] = [...environmentSettings.map((s) => s.name), ...clientNames];
  const name = Object.keys(env)
    .sort()
    .find((n) => n.startsWith('VIWORKS_') && !known.includes(n));
  return name === undefined ? undefined : { name, suggestion: nearest(name, known) };
}
