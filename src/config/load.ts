import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'smol-toml';
import type { z } from 'zod';
import { ViworksError } from '../errors.ts';
import { parseDuration } from '../lib/duration.ts';
import { checkRules } from './check.ts';
import { type Environment, environmentSettings, listOf, unknownName } from './environment.ts';
import { nearest } from './nearest.ts';
import { configError, type NameOf } from './problem.ts';
import { type Config, configSchema } from './schema.ts';

/**
 * The configuration is decided once, at the start: defaults, then the TOML file, then the environment, then
 * flags; the last one wins. What is wrong stops the start with the setting's name as the person wrote it.
 */
export interface ConfigSources {
  /** Settings by `section.key` that a subcommand prefers to the general defaults. */
  defaults?: Readonly<Record<string, unknown>>;
  /** Path of a TOML file. */
  file?: string | undefined;
  env?: Environment;
  flags?: readonly FlagValue[];
  /** Milliseconds since 1970, against which certificates are checked; the system's clock unless given. */
  now?: number;
}

/** A flag of the command line, for example `--api-port`. */
export interface FlagValue {
  flag: string;
  /** `section.key`. */
  key: string;
  value: unknown;
}

const pathKeys = [
  'server.data_dir',
  'server.tls_certificate_path',
  'server.tls_private_key_path',
  'agent_management.tls_certificate_path',
  'agent_management.tls_private_key_path',
  'security.backend_private_key_path',
  'security.token_secret_path',
  'security.ca_certificate_path',
  'security.ca_private_key_path',
  'security.command_secret_path',
  'command.plugins',
];

/** Paths in the result are absolute. @throws config_invalid with one line that names the setting */
export function loadConfig(sources: ConfigSources): Config {
  const values: Record<string, Record<string, unknown>> = {};
  const origins = new Map<string, string>();
  const put = (key: string, value: unknown, origin: string | undefined) => {
    const [section = '', name = ''] = key.split('.');
    const group = values[section] ?? {};
    values[section] = group;
    group[name] = value;
    if (origin !== undefined) origins.set(key, origin);
  };
  for (const [key, value] of Object.entries(sources.defaults ?? {})) put(key, value, undefined);
  if (sources.file !== undefined) {
    const { file } = sources;
    for (const { key, value } of readToml(file)) put(key, value, `${key} in ${file}`);
  }
  for (const { key, value, name } of readEnvironment(sources.env ?? {})) put(key, value, name);
  for (const { flag, key, value } of sources.flags ?? []) put(key, value, flag);

  const nameOf: NameOf = (key) => origins.get(key) ?? key;
  const parsed = configSchema.safeParse(values);
  if (!parsed.success) throw refusal(parsed.error, nameOf);
  const config = withAbsolutePaths(parsed.data);
  checkRules(config, nameOf, sources.now ?? Date.now());
  return config;
}

function readToml(file: string): { key: string; value: unknown }[] {
  let document: Record<string, unknown>;
  try {
    document = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error);
    throw configError(file, `cannot be read as TOML: ${reason}`);
  }
  return Object.entries(document).flatMap(([section, group]) => {
    if (typeof group !== 'object' || group === null || Array.isArray(group)) {
      throw configError(`${section} in ${file}`, unknownKey(section));
    }
    return Object.entries(group).map(([name, value]) => {
      const key = `${section}.${name}`;
      if (!knownKeys.includes(key)) throw configError(`${key} in ${file}`, unknownKey(key));
      return { key, value };
    });
  });
}

function readEnvironment(env: Environment): { key: string; name: string; value: unknown }[] {
  const unknown = unknownName(env);
  if (unknown !== undefined) {
    const meant = unknown.suggestion === undefined ? '' : `; did you mean ${unknown.suggestion}?`;
    throw configError(unknown.name, `there is no such setting${meant}`);
  }
  const found = new Map<string, { name: string; text: string }>();
  return environmentSettings.flatMap(({ name, key, type }) => {
    const text = env[name];
    if (text === undefined) return [];
    if (text === '') throw configError(name, 'is empty; give it a value or unset it');
    const other = found.get(key);
    if (other !== undefined && other.text !== text)
      throw configError(name, `contradicts ${other.name}, which says the same setting; unset one of them`);
    found.set(key, { name, text });
    return [{ key, name, value: converters[type](text, name) }];
  });
}

const converters = {
  text: (text: string) => text,
  number: (text: string, name: string) => {
    if (!/^-?\d+(\.\d+)?$/.test(text)) throw configError(name, 'must be a number');
    return Number(text);
  },
  seconds: (text: string, name: string) => {
    const ms = parseDuration(text);
    if (ms === undefined)
      throw configError(name, 'must be a number of seconds, or a duration such as 30s or 5m');
    return ms / 1000;
  },
  flag: (text: string, name: string) => {
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
    throw configError(name, 'must be true or false');
  },
  list: listOf,
};

const knownKeys: readonly string[] = Object.entries(configSchema.shape).flatMap(([section, schema]) =>
  Object.keys(schema.unwrap().shape).map((name) => `${section}.${name}`),
);

function unknownKey(key: string): string {
  const meant = nearest(key, knownKeys);
  return `there is no such setting${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

function refusal(error: z.ZodError, nameOf: NameOf): ViworksError {
  const fields = error.issues.map((issue) => ({
    field: nameOf(issue.path.slice(0, 2).join('.')),
    problem: problemOf(issue),
  }));
  const [first] = fields;
  return new ViworksError('config_invalid', `${first?.field}: ${first?.problem}`, { fields });
}

/** Says what would be right; never repeats the value, which may be a secret. */
function problemOf(issue: z.core.$ZodIssue): string {
  const unit = 'origin' in issue && issue.origin === 'string' ? ' characters' : '';
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${issue.expected === 'int' ? 'a whole number' : `a ${issue.expected}`}`;
    case 'too_small':
      if (unit !== '' && issue.minimum === 1) return 'must not be empty';
      return issue.inclusive === false
        ? `must be more than ${issue.minimum}${unit}`
        : `must be at least ${issue.minimum}${unit}`;
    case 'too_big':
      return `must be at most ${issue.maximum}${unit}`;
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`;
    default:
      return issue.message;
  }
}

function withAbsolutePaths(config: Config): Config {
  const copy: Record<string, Record<string, unknown>> = structuredClone(config);
  for (const key of pathKeys) {
    const [section = '', name = ''] = key.split('.');
    const value = copy[section]?.[name];
    if (copy[section] === undefined) continue;
    if (typeof value === 'string') copy[section][name] = resolve(value);
    if (Array.isArray(value)) copy[section][name] = value.map((path) => resolve(String(path)));
  }
  return configSchema.parse(copy);
}
