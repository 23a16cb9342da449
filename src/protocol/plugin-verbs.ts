import { readFileSync } from 'node:fs';
import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { z } from 'zod';
import { ViworksError } from '../errors.ts';
import { parseDuration } from '../lib/duration.ts';
import { jsonType } from './json-schema.ts';
import { builtInVerbs, type JsonType, type PluginVerbs, type VerbSpec } from './verbs.ts';

/** A plug-in's file of verbs: JSON, read by the server and by the agent, that both hold the same args to. */

const schemaObject = z.record(z.string(), z.json(), { error: 'must be a JSON Schema, an object' });

const declaration = z.strictObject({
  name: z
    .string()
    .max(64)
    .regex(/^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$/, {
      error: 'must be words of a-z, 0-9 and underscore with dots between them, for example panel.user.create',
    }),
  summary: z.string().min(1).max(200),
  effect: z.enum(['read', 'idempotent', 'once']),
  risk: z.enum(['low', 'elevated', 'destructive']),
  timeout: z
    .string()
    .default('60s')
    .transform((text) => parseDuration(text) ?? 0)
    .refine((ms) => ms >= 1 && ms <= 24 * 3_600_000, {
      error: 'must be a duration such as 30s or 5m, at most 24h',
    }),
  capability: z.string().regex(/^[a-z][a-z0-9._-]{0,63}$/, {
    error: 'must be 1 to 64 characters of a-z, 0-9, dot, underscore and hyphen, and begin with a-z',
  }),
  positional: z.string().max(64).default(''),
  args: schemaObject,
  result: schemaObject.default({ type: 'object' }),
});

const verbFile = z.strictObject({
  /** For editors; nothing is read from there. */
  $schema: z.string().optional(),
  verbs: z.array(declaration).min(1, { error: 'must declare at least one verb' }).max(1000),
});

const reservedWords: ReadonlySet<string> = new Set([
  'viworks',
  ...builtInVerbs.map(({ name }) => name.split('.')[0] ?? name),
]);
const reservedCapabilities: ReadonlySet<string> = new Set(builtInVerbs.map(({ capability }) => capability));

/** @throws config_invalid; it names the file and the field */
export function readPluginVerbs(file: string): PluginVerbs {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw problem(file, '', `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  return parsePluginVerbs(file, text);
}

/** @param file its path, for messages @throws config_invalid */
export function parsePluginVerbs(file: string, text: string): PluginVerbs {
  let document: JsonValue;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw problem(file, '', `is not JSON: ${error instanceof Error ? error.message : ''}`);
  }
  const parsed = verbFile.safeParse(document);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw problem(file, z.core.toDotPath(issue?.path ?? []), issue === undefined ? '' : wordsOf(issue));
  }
  const names = new Set<string>();
  const verbs = parsed.data.verbs.map(({ timeout, args, result, ...rest }, index): VerbSpec => {
    const at = (field: string) => `verbs[${index}].${field}`;
    const [word = ''] = rest.name.split('.');
    if (reservedWords.has(word))
      throw problem(file, at('name'), `must not begin with ${word}., which is kept for built-in verbs`);
    if (names.has(rest.name)) throw problem(file, at('name'), `${rest.name} is declared twice`);
    names.add(rest.name);
    if (reservedCapabilities.has(rest.capability))
      throw problem(
        file,
        at('capability'),
        `must not be ${rest.capability}, which is kept for built-in verbs`,
      );
    const argsType = compiled(file, at('args'), args);
    if (!('additionalProperties' in args) && !('unevaluatedProperties' in args))
      throw problem(file, at('args'), 'must say additionalProperties: false refuses misspelt args');
    const fields = Object.keys((args.properties ?? {}) as JsonObject);
    if (rest.positional !== '' && !fields.includes(rest.positional))
      throw problem(
        file,
        at('positional'),
        `must be one of the args: ${fields.join(', ') || 'there are none'}`,
      );
    return {
      ...rest,
      defaultTimeoutMs: timeout,
      args: argsType,
      result: compiled(file, at('result'), result),
    };
  });
  return { file, verbs };
}

function compiled(file: string, field: string, schema: JsonObject): JsonType {
  if (schema.type !== 'object') throw problem(file, field, 'must have "type": "object"');
  try {
    return jsonType(schema);
  } catch (error) {
    throw problem(file, field, error instanceof Error ? error.message : 'is no JSON Schema');
  }
}

function wordsOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'unrecognized_keys') return `has the unknown field ${issue.keys.join(', ')}`;
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.join(', ')}`;
  if (issue.code === 'invalid_type')
    return issue.input === undefined ? `is missing or no ${issue.expected}` : issue.message;
  return issue.message;
}

function problem(file: string, field: string, words: string): ViworksError {
  const path = field === '' ? file : `${file}: ${field}`;
  return new ViworksError('config_invalid', `${path}: ${words}`, {
    fields: [{ field: path, problem: words }],
  });
}
