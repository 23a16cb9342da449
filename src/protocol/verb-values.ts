import {
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  toBinary,
  toJson,
} from '@bufbuild/protobuf';
import { ArgsEncoding } from '#gen/viworks/agent/v1/command_pb.js';
import { type ErrorCode, type FieldProblem, invalidField, ViworksError } from '../errors.ts';
import { isDeeperThan } from '../lib/text.ts';
import { isPlainArgs } from './args-check.ts';
import { wireLimits } from './limits.ts';
import { assertValid, problemsOf } from './validation.ts';
import { builtInCatalogue, type VerbSpec, verbMessages } from './verbs.ts';

/**
 * Args and results in their three forms: JSON (what people and programs write), bytes (what travels and is
 * signed), and what an executor works with: a message of a built-in verb, the JSON object of a plug-in's.
 */

export type VerbValue = Message | JsonObject;

/** How the args of a verb travel. Every built-in verb is known here; any other is of a plug-in. */
export function encodingOf(verb: string): ArgsEncoding {
  return builtInCatalogue.get(verb) === undefined ? ArgsEncoding.JSON : ArgsEncoding.PROTOBUF;
}

/**
 * What a caller wrote, checked, in its exact form and as bytes.
 * @throws invalid_args; it names every wrong field
 */
export function argsFromJson(verb: VerbSpec, json: JsonObject): { args: JsonObject; bytes: Uint8Array } {
  const { args: type } = verb;
  if (type.kind === 'json') {
    const args = structuredClone(json);
    refuse(type.check(args).map(({ field, problem }) => ({ field: pathOf('args', field), problem })));
    return { args, bytes: bytesOfJson(args) };
  }
  const message = parseMessage(verb.name, type.message, json);
  if (!isPlainArgs(message)) assertValid(type.message, message, 'invalid_args', 'args.');
  return { args: jsonOf(type.message, message), bytes: toBinary(type.message, message) };
}

/** What a caller wrote, from its bytes; undefined where they are of another verb. */
export function argsToJson(verb: VerbSpec, bytes: Uint8Array): JsonObject | undefined {
  const { args: type } = verb;
  if (type.kind === 'json') return objectOf(bytes);
  const message = readMessage(type.message, bytes, ArgsEncoding.PROTOBUF);
  return message && jsonOf(type.message, message);
}

/**
 * What came over the wire, checked again.
 * @throws invalid_args
 */
export function argsFromBytes(verb: VerbSpec, bytes: Uint8Array, encoding: ArgsEncoding): VerbValue {
  const { args: type } = verb;
  if (type.kind === 'json') {
    const args = encoding === ArgsEncoding.JSON ? objectOf(bytes) : undefined;
    if (args === undefined) throw new ViworksError('invalid_args', 'The args are not a JSON object.');
    refuse(type.check(args).map(({ field, problem }) => ({ field: pathOf('args', field), problem })));
    return args;
  }
  const message = readMessage(type.message, bytes, encoding);
  if (message === undefined)
    throw new ViworksError('invalid_args', `The args are not a ${type.message.typeName}.`);
  if (!isPlainArgs(message)) refuse(problemsOf(type.message, message, 'args.'));
  return message;
}

/** A result in JSON, or undefined where it is not what the verb says. */
export function resultFromBytes(
  verb: VerbSpec,
  bytes: Uint8Array,
  encoding: ArgsEncoding,
): JsonObject | undefined {
  const { result: type } = verb;
  if (type.kind === 'message') {
    const message = readMessage(type.message, bytes, encoding);
    return message && jsonOf(type.message, message);
  }
  const value = encoding === ArgsEncoding.JSON ? objectOf(bytes) : undefined;
  return value !== undefined && type.check(value).length === 0 ? value : undefined;
}

export const bytesOfJson = (value: JsonObject): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

function objectOf(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value: JsonValue = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    return isDeeperThan(wireLimits.jsonLevels, value) ? undefined : value;
  } catch {
    return undefined;
  }
}

function readMessage(schema: DescMessage, bytes: Uint8Array, encoding: ArgsEncoding): Message | undefined {
  try {
    if (encoding !== ArgsEncoding.JSON) return fromBinary(schema, bytes);
    const value = objectOf(bytes);
    // An agent that is newer than this server may tell more than is known here.
    return value && fromJson(schema, value, { registry: verbMessages, ignoreUnknownFields: true });
  } catch {
    return undefined;
  }
}

function jsonOf(schema: DescMessage, message: Message): JsonObject {
  return toJson(schema, message, { registry: verbMessages }) as JsonObject;
}

function refuse(fields: FieldProblem[], code: ErrorCode = 'invalid_args'): void {
  const [first] = fields;
  if (first === undefined) return;
  const text = fields.map(({ field, problem }) => `${field}: ${problem}`).join('; ');
  throw new ViworksError(code, text.slice(0, 4096), { fields });
}

const pathOf = (root: string, field: string): string =>
  field === '' ? root : field.startsWith('[') ? root + field : `${root}.${field}`;

function parseMessage(verb: string, schema: DescMessage, args: JsonObject): Message {
  try {
    return fromJson(schema, args, { registry: verbMessages });
  } catch (error) {
    const known = schema.fields.map((field) => field.name).join(', ') || 'none';
    const unknown = Object.keys(args).find(
      (key) => !schema.fields.some((f) => f.name === key || f.jsonName === key),
    );
    if (unknown !== undefined) {
      throw invalidField(
        `args.${unknown}`,
        `${verb} has no such field; its fields are: ${known}`,
        'invalid_args',
      );
    }
    const field = fieldOf(error);
    const path = field === undefined ? 'args' : `args.${field}`;
    const problem =
      error instanceof Error
        ? error.message.replace(/^cannot decode (message|field) \S+ from JSON: /, '')
        : '';
    throw new ViworksError('invalid_args', `${path}: ${problem}`, {
      fields: [{ field: path, problem }],
      cause: error,
    });
  }
}

/** protobuf-es names the field in its message: "cannot decode field viworks.verbs.v1.ExecArgs.argv from JSON: …". */
function fieldOf(error: unknown): string | undefined {
  const match = error instanceof Error ? /field \S+\.([a-z0-9_]+)/.exec(error.message) : null;
  return match?.[1];
}
