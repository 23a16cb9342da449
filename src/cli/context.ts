import { resolve } from 'node:path';
import type { Command } from 'commander';
import { type ClientEnvironment, clientEnvironment, type Environment } from '../config/environment.ts';
import { type FlagValue, loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { formatDuration } from '../lib/duration.ts';
import { type Client, createClient } from './client.ts';
import { readOperatorFile } from './data-dir.ts';
import { UsageError } from './failure.ts';
import { createTerminal, type Terminal } from './terminal.ts';

/** What every subcommand is handed. */
export interface CliContext {
  env: Environment;
  settings: ClientEnvironment;
  terminal: Terminal;
}

export function createContext(env: Environment): CliContext {
  const settings = clientEnvironment(env);
  return { env, settings, terminal: createTerminal(settings.color) };
}

/** Options of the subcommands that start something here. */
export interface ServerOptions {
  config?: string;
  dataDir?: string;
  apiPort?: string;
  agentPort?: string;
  databaseUrl?: string;
  logLevel?: string;
  logFormat?: string;
}

export function withServerOptions(command: Command): Command {
  return command
    .option('--config <file>', 'read settings from a TOML file (VIWORKS_CONFIG)')
    .option('--data-dir <folder>', 'where this instance keeps its data (VIWORKS_DATA_DIR)')
    .option('--api-port <port>', 'for applications and people (VIWORKS_API_PORT)')
    .option('--agent-port <port>', 'for agents (VIWORKS_AGENT_PORT)')
    .option('--database-url <url>', 'a PostgreSQL of your own instead of the embedded one (DATABASE_URL)')
    .option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent (LOG_LEVEL)')
    .option('--log-format <format>', 'json or text (LOG_FORMAT)');
}

/** @throws config_invalid */
export function configOf(
  { env, settings }: CliContext,
  options: ServerOptions,
  defaults: Readonly<Record<string, unknown>> = {},
): Config {
  const flags: FlagValue[] = [];
  const add = (flag: string, key: string, value: unknown) => {
    if (value !== undefined) flags.push({ flag, key, value });
  };
  add('--data-dir', 'server.data_dir', options.dataDir);
  add('--api-port', 'server.port', numberOr(options.apiPort));
  add('--agent-port', 'agent_management.port', numberOr(options.agentPort));
  add('--database-url', 'database.url', options.databaseUrl);
  add('--log-level', 'logging.level', options.logLevel);
  add('--log-format', 'logging.format', options.logFormat);
  return loadConfig({ defaults, file: options.config ?? settings.configFile, env, flags });
}

/** What is no number stays as it is, so that the schema refuses it by the flag's name. */
function numberOr(text: string | undefined): number | string | undefined {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : text;
}

/** Options of the subcommands that talk to a server. */
export interface ClientOptions {
  url?: string;
  token?: string;
  dataDir?: string;
  json?: boolean;
}

export function withClientOptions(command: Command): Command {
  return command
    .option(
      '--url <url>',
      'address of the server (VIWORKS_URL; default: what `start` left in the data folder)',
    )
    .option('--token <token>', 'API token (VIWORKS_TOKEN; default: what `start` left in the data folder)')
    .option('--data-dir <folder>', 'data folder to look in (VIWORKS_DATA_DIR)')
    .option('--json', 'print JSON for programs');
}

export interface Access {
  url: string;
  token: string;
}

/** The token in the data folder is for the server that left it there, and is sent to no other. */
export function accessOf(context: CliContext, options: ClientOptions): Access {
  const left = readOperatorFile(clientDataDir(context, options));
  const url = options.url ?? context.settings.url ?? left?.url;
  if (url === undefined) {
    throw new UsageError(
      'no server is known: run `npm start`, or give --url and --token (VIWORKS_URL, VIWORKS_TOKEN)',
    );
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new UsageError(`--url: must be an http or https URL, for example http://127.0.0.1:8080`);
  }
  const own = left !== undefined && new URL(left.url).origin === new URL(url).origin ? left.token : undefined;
  const token = options.token ?? context.settings.token ?? own;
  if (token === undefined) throw new UsageError(`no token for ${url}: give --token or set VIWORKS_TOKEN`);
  return { url, token };
}

function clientDataDir({ env }: CliContext, options: { dataDir?: string }): string {
  return resolve(options.dataDir ?? (env.VIWORKS_DATA_DIR || '.viworks'));
}

export function clientOf(context: CliContext, options: ClientOptions): Client {
  const { terminal } = context;
  return createClient(
    accessOf(context, options),
    (ms) => terminal.note(`the server asks to wait ${formatDuration(ms)}`),
    (ms) =>
      terminal.note(
        `no answer for ${formatDuration(ms)}; waiting … (\`viworks health\` says how the server is)`,
      ),
  );
}
