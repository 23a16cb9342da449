import { z } from 'zod';
import { isAddressOrRange } from '../lib/addresses.ts';

/**
 * Every setting with its meaning, unit and default. The sections and names are those of the TOML file; a key
 * that is not here stops the start.
 */

const port = z.int().min(0).max(65535);
const positive = z.int().min(1);
const seconds = z
  .number()
  .positive()
  .max(86_400 * 365);

/** 0 for none; one that is lower than the least would hold back what every agent says. */
const rate = (least: number) =>
  z
    .int()
    .min(0)
    .max(1_000_000_000)
    .refine((value) => value === 0 || value >= least, `must be 0, or at least ${least}`);

export const configSchema = z.strictObject({
  server: z
    .strictObject({
      /** In production what is only convenient stops the start. */
      mode: z.enum(['development', 'production']).default('development'),
      /** Where applications and people connect. */
      bind_address: z.string().min(1).default('127.0.0.1'),
      /** 0 takes any free port. */
      port: port.default(8080),
      /** Origins that a browser may call from; `*` allows all. */
      cors_origins: z.array(z.string()).default([]),
      /** Connections of applications and people at once; more are dropped. */
      max_connections: positive.max(1_000_000).default(1000),
      /** Seconds that a stop waits for work under way. */
      drain_timeout: seconds.default(8),
      tls_certificate_path: z.string().optional(),
      tls_private_key_path: z.string().optional(),
      /** Clear text on an address other than loopback needs this. */
      allow_clear_text: z.boolean().default(false),
      /**
       * Addresses and ranges of proxies whose X-Forwarded-For is believed. Where any are named, clear text is taken
       * from them and from loopback alone.
       */
      trusted_proxies: z
        .array(z.string().refine(isAddressOrRange, 'must be addresses or ranges such as 10.0.0.0/8'))
        .max(100)
        .default([]),
      /** Where everything is kept that this instance owns. */
      data_dir: z.string().min(1).default('.viworks'),
    })
    .prefault({}),
  database: z
    .strictObject({
      /** Without it, an embedded PostgreSQL runs in the data folder. */
      url: z.string().min(1).optional(),
      max_connections: positive.max(1000).default(12),
      /** Seconds. */
      connect_timeout: seconds.default(10),
      idle_timeout: seconds.default(300),
    })
    .prefault({}),
  redis: z.strictObject({ url: z.string().min(1).optional() }).prefault({}),
  security: z
    .strictObject({
      /** Signs API tokens with HS256 in place of keys that rotate; at least 32 characters. */
      jwt_secret: z.string().min(32).optional(),
      /** Days after which a new key signs API tokens. */
      jwt_key_rotation: z.number().positive().max(3650).default(90),
      /** A file with at least 32 random bytes in base64; opens the keys that sign API tokens. Made if not set. */
      token_secret_path: z.string().optional(),
      /** The `iss` of another issuer whose tokens are accepted too; needs jwt_audience and jwks_url. */
      jwt_issuer: z.string().min(1).optional(),
      jwt_audience: z.string().min(1).optional(),
      /** Where that issuer publishes its keys. */
      jwks_url: z.url({ protocol: /^https?$/ }).optional(),
      /** The `typ` in the header of its tokens. */
      jwt_type: z.string().min(1).default('at+jwt'),
      /** Which claims say the role, the sites and the verbs; of a nested claim the path with dots. */
      jwt_role_claim: z.string().min(1).default('role'),
      jwt_sites_claim: z.string().min(1).default('sites'),
      jwt_verbs_claim: z.string().min(1).default('verbs'),
      /** Roles here by the names that the claim has there; without any, the names are ours. */
      jwt_roles: z.record(z.string(), z.enum(['viewer', 'operator', 'admin'])).default({}),
      /** Percent of all agents that one command of an operator may go to. */
      max_fleet_share: z.number().positive().max(100).optional(),
      /** Seconds that an API token is good for unless asked otherwise. */
      jwt_expiration: seconds.default(3600),
      /** Ed25519, PKCS#8 PEM; identifies the server to its agents. Made in the data folder if not set. */
      backend_private_key_path: z.string().optional(),
      /** Encrypts what goes to and comes from agents also inside of TLS: never, where an agent offers it, or always. */
      sealed_envelopes: z.enum(['off', 'on', 'required']).default('on'),
      /** Whether an agent’s TLS must end here, is compared for the log, or is not looked at. A proxy that ends TLS breaks it. */
      tls_exporter: z.enum(['require', 'record', 'off']).default('record'),
      /** A file with at least 32 random bytes in base64; opens the keys that sign commands. Made if not set. */
      command_secret_path: z.string().optional(),
      /**
       * PEM of the authority that issues certificates of agents, in place of one that is made. Further authorities
       * behind it are believed too.
       */
      ca_certificate_path: z.string().optional(),
      /** PEM. Without it certificates are issued elsewhere. */
      ca_private_key_path: z.string().optional(),
      /** The first part of the names in certificates of agents, spiffe://<trust domain>/agent/<id>/<incarnation>. */
      trust_domain: z
        .string()
        .regex(
          /^[a-z0-9]([a-z0-9._-]{0,253}[a-z0-9])?$/,
          'must be a name of lower-case letters, digits, dots and dashes',
        )
        .default('viworks'),
      /** Calls of the API that one client may make in a window, unless its token has a limit of its own; 0: any number. */
      rate_limit_requests: z.int().min(0).max(1_000_000_000).default(100),
      /** Seconds of a window. */
      rate_limit_window: z.int().min(1).max(86_400).default(60),
      /** Tokens that are not valid that may come from one address in a window; 0: any number. */
      rate_limit_failures: z.int().min(0).max(1_000_000_000).default(20),
      /** Streams, as those of `commands watch`, that one client may have open at once; 0: any number. */
      rate_limit_streams: z.int().min(0).max(1_000_000).default(100),
      /** Whether callers on this machine are limited too. Without it: in production. */
      rate_limit_local: z.boolean().optional(),
    })
    .prefault({}),
  agent_management: z
    .strictObject({
      /** Where agents connect. */
      bind_address: z.string().min(1).default('127.0.0.1'),
      port: port.default(8081),
      tls_certificate_path: z.string().optional(),
      tls_private_key_path: z.string().optional(),
      allow_clear_text: z.boolean().default(false),
      /**
       * The server makes the certificate of this port itself, and renews it. Without it: in production, where no file
       * has one and no proxy ends TLS.
       */
      built_in_tls: z.boolean().optional(),
      /** Names and addresses in that certificate; those of this machine if there are none. */
      tls_names: z
        .array(z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/, 'must be host names or addresses'))
        .max(50)
        .default([]),
      /**
       * Whether agents show certificates: never, where they have one, or always. Without it: on where TLS ends here.
       */
      client_certificates: z.enum(['off', 'on', 'required']).optional(),
      /** Seconds that a certificate of an agent is good for; it is renewed when two thirds are over. */
      certificate_lifetime: seconds.min(60).default(86_400),
      /**
       * Keys that this port may have one day, as sha256/… of RFC 7469. With a certificate of files, agents pin its key
       * and these where there are any.
       */
      backup_pins: z
        .array(
          z
            .string()
            .regex(/^sha256\/[A-Za-z0-9+/]{43}=$/, 'must be written sha256/ and 44 characters of base64'),
        )
        .max(10)
        .default([]),
      max_agent_connections: positive.default(20_000),
      /** Of those without a session yet, so many are attended to at once; the others wait their turn. */
      max_concurrent_handshakes: positive.max(10_000).default(64),
      /** Messages of one agent in a second, over which it is read more slowly; 0: any number. */
      max_messages_per_second: rate(100).default(10_000),
      /** Bytes of one agent in a second, over which it is read more slowly; 0: any number. */
      max_bytes_per_second: rate(1024 * 1024).default(20_000_000),
      /** Seconds between heartbeats; one missed makes an agent degraded, three end its session. */
      heartbeat_interval: seconds.default(30),
      /** Agents without a token may ask an operator for an identity. Without it: where the address is loopback, in development. */
      enrollment_requests: z.boolean().optional(),
      /** Days after which an agent makes itself a new key; 0: never. */
      key_max_age: z.number().min(0).max(3650).default(90),
      reconnect_backoff_ms: positive.default(1000),
      reconnect_backoff_max_ms: positive.default(60_000),
    })
    .prefault({}),
  command: z
    .strictObject({
      /** Seconds that work may take unless a command says otherwise; in place of each verb’s own time-out. */
      command_timeout: seconds.optional(),
      /** Seconds that a command waits for its agents unless asked otherwise. */
      time_to_live: seconds.default(3600),
      /** Further attempts after a failure unless a command says otherwise; verbs that must happen once have none. */
      max_retries: z.int().min(0).max(10).default(0),
      /** Verbs that wait for the approval of a second person: those marked destructive, also elevated ones, or none. */
      approval: z.enum(['destructive', 'elevated', 'never']).default('destructive'),
      /** Days that a finished command is kept after it was submitted; 0 keeps it for ever. */
      retention: z.number().min(0).max(36_500).default(30),
      /** Executions that may wait for one agent; over it a submit is refused. */
      max_command_queue_size: positive.default(1000),
      /** Executions that may wait for all agents. */
      max_total_queue_size: positive.default(1_000_000),
      /** Executions that one agent may have at once; an agent may grant less. */
      max_concurrent_commands: positive.max(10_000).default(50),
      /** Executions that all agents together may have at once. */
      max_total_concurrent_commands: positive.default(100_000),
      /** Files that declare further verbs, which agents with the same plug-in run. */
      plugins: z.array(z.string().min(1)).max(100).default([]),
      /** Limits of single verbs over all agents, for example `[command.verb_limits."docker.build"]`. */
      verb_limits: z
        .record(
          z.string(),
          z.strictObject({
            /** Executions that may be with agents at once. */
            max_concurrent: positive.optional(),
            /** Executions that may wait. */
            max_queue_size: positive.optional(),
          }),
        )
        .default({}),
    })
    .prefault({}),
  telemetry: z
    .strictObject({
      /** Seconds between samples. */
      collection_interval: seconds.default(30),
      /** Days that samples and their roll-ups of a minute are kept. */
      retention: z.int().min(1).max(3650).default(30),
      /** Days that roll-ups of a quarter of an hour and of an hour are kept. */
      rollup_retention: z.int().min(1).max(36_500).default(400),
      /** Health reports compare agents with their own past. */
      anomaly_detection: z.boolean().default(false),
    })
    .prefault({}),
  alerts: z
    .strictObject({
      /** Seconds without anything new after which what happened to a rule in a site is told, as one message. */
      group_quiet: seconds.default(10),
      /** Seconds after which it is told in any case. */
      group_window: seconds.default(60),
      /** Days that an alert, and what was told of it, is kept after its end; 0 keeps it for ever. */
      retention: z.number().min(0).max(36_500).default(90),
      /** Attempts to deliver a message, after which it is given up. */
      max_attempts: positive.max(100).default(12),
      /** Webhooks may have http addresses on other machines than this. */
      allow_clear_text: z.boolean().default(false),
    })
    .prefault({}),
  live: z
    .strictObject({
      /** Live streams of telemetry, agents and alerts that may be open at once. */
      max_streams: positive.default(2000),
      /** Those of one token. */
      max_streams_of_token: positive.default(100),
    })
    .prefault({}),
  audit: z
    .strictObject({
      /** Days that an entry of the audit log is kept; 0 keeps it for ever. */
      retention: z.number().min(0).max(36_500).default(365),
    })
    .prefault({}),
  logging: z
    .strictObject({
      level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
      format: z.enum(['json', 'text']).default('json'),
    })
    .prefault({}),
});

export type Config = z.output<typeof configSchema>;
