import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import { nearest } from '../config/nearest.ts';
import { ViworksError } from '../errors.ts';
import type { VerbField } from '../protocol/verb-field.ts';
import { fieldsOf } from '../protocol/verb-fields.ts';
import { builtInCatalogue, type VerbCatalogue } from '../protocol/verbs.ts';
import { UsageError } from './failure.ts';

/** What a person types after the verb, in the JSON form of the verb's args message. */
export interface TypedArgs {
  positional: readonly string[];
  /** `name=value`, `name.key=value`, or `name` alone for a flag. */
  named: readonly string[];
  /** A JSON object; the others are put on top of it. */
  json: string | undefined;
}

interface Verb {
  name: string;
  positional: string;
  fields: readonly VerbField[];
}

/** @throws UsageError, verb_unknown */
export function parseArgs(
  verbName: string,
  typed: TypedArgs,
  catalogue: VerbCatalogue = builtInCatalogue,
): JsonObject {
  const args = parseJson(typed.json);
  const spec = catalogue.get(verbName);
  if (spec === undefined) {
    // The server may know the verb; without its types, only JSON can be sent there.
    if (typed.json !== undefined && typed.named.length === 0 && typed.positional.length === 0) return args;
    const meant = nearest(verbName, catalogue.names);
    throw new ViworksError(
      'verb_unknown',
      `There is no verb ${verbName}${meant === undefined ? '.' : `; did you mean ${meant}?`}`,
    );
  }
  const verb = { name: spec.name, positional: spec.positional, fields: fieldsOf(spec.args) };
  for (const item of typed.named) addNamed(args, verb, item);
  addPositional(args, verb, typed.positional);
  return args;
}

function parseJson(text: string | undefined): JsonObject {
  if (text === undefined) return {};
  try {
    const value: JsonValue = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value;
  } catch {
    // Falls through to the one message for both mistakes.
  }
  throw new UsageError('--args: must be a JSON object, for example \'{"argv": ["uptime"]}\'');
}

function addNamed(args: JsonObject, verb: Verb, item: string): void {
  const equals = item.indexOf('=');
  const path = equals === -1 ? item : item.slice(0, equals);
  const value = equals === -1 ? undefined : item.slice(equals + 1);
  const dot = path.indexOf('.');
  const name = dot === -1 ? path : path.slice(0, dot);
  const rest = dot === -1 ? undefined : path.slice(dot + 1);
  const field = fieldOf(verb.fields, name);
  if (field === undefined) throw unknownField(verb, name);
  put(args, field, rest, value, item);
}

function addPositional(args: JsonObject, verb: Verb, positional: readonly string[]): void {
  const [first, ...more] = positional;
  if (first === undefined) return;
  const field = fieldOf(verb.fields, verb.positional);
  if (field === undefined) {
    throw new UsageError(`${verb.name} takes no argument "${first}"; ${namesOf(verb)}`);
  }
  if (field.shape === 'list') {
    args[field.jsonName] = positional.map((text) => scalarOf(field, text, verb.positional));
    return;
  }
  if (more.length > 0) {
    throw new UsageError(`${verb.name} takes one ${verb.positional}, and here are ${positional.length}`);
  }
  put(args, field, undefined, first, verb.positional);
}

/** The names of the proto file and of its JSON form both count. */
function fieldOf(fields: readonly VerbField[], name: string): VerbField | undefined {
  return fields.find((field) => field.name === name || field.jsonName === name);
}

function put(
  args: JsonObject,
  field: VerbField,
  rest: string | undefined,
  value: string | undefined,
  item: string,
): void {
  const { jsonName } = field;
  if (field.shape === 'map') {
    if (rest === undefined || value === undefined) {
      throw new UsageError(`--arg ${item}: ${field.name} is a map; write ${field.name}.KEY=VALUE`);
    }
    args[jsonName] = { ...objectAt(args, jsonName), [rest]: scalarOf(field, value, item) };
    return;
  }
  if (rest !== undefined) {
    const inner = field.shape === 'one' ? fieldOf(field.fields, rest.split('.')[0] ?? '') : undefined;
    if (inner === undefined) throw new UsageError(`--arg ${item}: ${field.name} has no field ${rest}`);
    const object = { ...objectAt(args, jsonName) };
    put(object, inner, rest.includes('.') ? rest.slice(rest.indexOf('.') + 1) : undefined, value, item);
    args[jsonName] = object;
    return;
  }
  const scalar = scalarOf(field, value, item);
  if (field.shape !== 'list') {
    args[jsonName] = scalar;
    return;
  }
  const before = args[jsonName];
  args[jsonName] = [...(Array.isArray(before) ? before : []), scalar];
}

function objectAt(args: JsonObject, name: string): JsonObject {
  const value = args[name];
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

function scalarOf(field: VerbField, value: string | undefined, item: string): JsonValue {
  const { name, type } = field;
  if (type === 'boolean') {
    if (value === undefined || value === 'true') return true;
    if (value === 'false') return false;
    throw new UsageError(`--arg ${item}: ${name} is true or false`);
  }
  if (value === undefined) throw new UsageError(`--arg ${item}: write ${name}=VALUE`);
  if (type === 'number') {
    const number = Number(value);
    if (value.trim() !== '' && Number.isFinite(number)) return number;
    throw new UsageError(`--arg ${item}: ${name} is a number`);
  }
  if (type === 'integer' || type === 'integer64') {
    if (!/^-?\d+$/.test(value)) throw new UsageError(`--arg ${item}: ${name} is a whole number`);
    // As text where a JSON number may be too small for it.
    return type === 'integer' ? Number(value) : value;
  }
  if (type === 'json' || type === 'object') return jsonOr(value, item, name);
  // Enums, times and durations have a text form in JSON; the server says what it makes of them.
  return value;
}

function jsonOr(value: string, item: string, name: string): JsonValue {
  try {
    return JSON.parse(value);
  } catch {
    throw new UsageError(`--arg ${item}: ${name} is JSON`);
  }
}

function unknownField(verb: Verb, name: string): UsageError {
  const meant = nearest(
    name,
    verb.fields.map((field) => field.name),
  );
  const suggestion = meant === undefined ? namesOf(verb) : `did you mean ${meant}?`;
  return new UsageError(`--arg ${name}: ${verb.name} has no such arg; ${suggestion}`);
}

function namesOf(verb: Verb): string {
  const names = verb.fields.map((field) => field.name);
  return names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
}
