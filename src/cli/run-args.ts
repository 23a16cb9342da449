import type { DescField, DescMessage, JsonObject, JsonValue } from '@bufbuild/protobuf';
import { ScalarType } from '@bufbuild/protobuf';
import { nearest } from '../config/nearest.ts';
import { ViworksError } from '../errors.ts';
import { type VerbSpec, verbCatalogue } from '../protocol/verbs.ts';
import { UsageError } from './failure.ts';

/** What a person types after the verb, in the JSON form of the verb's args message. */
export interface TypedArgs {
  positional: readonly string[];
  /** `name=value`, `name.key=value`, or `name` alone for a flag. */
  named: readonly string[];
  /** A JSON object; the others are put on top of it. */
  json: string | undefined;
}

/** @throws UsageError, verb_unknown */
export function parseArgs(verbName: string, typed: TypedArgs): JsonObject {
  const args = parseJson(typed.json);
  const verb = verbCatalogue.get(verbName);
  if (verb === undefined) {
    // A newer server may know the verb; without its types, only JSON can be sent there.
    if (typed.json !== undefined && typed.named.length === 0 && typed.positional.length === 0) return args;
    const meant = nearest(verbName, [...verbCatalogue.keys()]);
    throw new ViworksError(
      'verb_unknown',
      `There is no verb ${verbName}${meant === undefined ? '.' : `; did you mean ${meant}?`}`,
    );
  }
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

function addNamed(args: JsonObject, verb: VerbSpec, item: string): void {
  const equals = item.indexOf('=');
  const path = equals === -1 ? item : item.slice(0, equals);
  const value = equals === -1 ? undefined : item.slice(equals + 1);
  const dot = path.indexOf('.');
  const name = dot === -1 ? path : path.slice(0, dot);
  const rest = dot === -1 ? undefined : path.slice(dot + 1);
  const field = fieldOf(verb.args, name);
  if (field === undefined) throw unknownField(verb, name);
  put(args, field, rest, value, item);
}

function addPositional(args: JsonObject, verb: VerbSpec, positional: readonly string[]): void {
  const [first, ...more] = positional;
  if (first === undefined) return;
  const field = fieldOf(verb.args, verb.positional);
  if (field === undefined) {
    throw new UsageError(`${verb.name} takes no argument "${first}"; ${namesOf(verb)}`);
  }
  if (field.fieldKind === 'list') {
    args[field.jsonName] = positional.map((text) => scalarOf(field, text, verb.positional));
    return;
  }
  if (more.length > 0) {
    throw new UsageError(`${verb.name} takes one ${verb.positional}, and here are ${positional.length}`);
  }
  put(args, field, undefined, first, verb.positional);
}

/** The names of the proto file and of its JSON form both count. */
function fieldOf(message: DescMessage, name: string): DescField | undefined {
  return message.fields.find((field) => field.name === name || field.jsonName === name);
}

function put(
  args: JsonObject,
  field: DescField,
  rest: string | undefined,
  value: string | undefined,
  item: string,
): void {
  const { jsonName } = field;
  if (field.fieldKind === 'map') {
    if (rest === undefined || value === undefined) {
      throw new UsageError(`--arg ${item}: ${field.name} is a map; write ${field.name}.KEY=VALUE`);
    }
    args[jsonName] = { ...objectAt(args, jsonName), [rest]: scalarOf(field, value, item) };
    return;
  }
  if (rest !== undefined) {
    const inner =
      field.fieldKind === 'message' ? fieldOf(field.message, rest.split('.')[0] ?? '') : undefined;
    if (inner === undefined) throw new UsageError(`--arg ${item}: ${field.name} has no field ${rest}`);
    const object = { ...objectAt(args, jsonName) };
    put(object, inner, rest.includes('.') ? rest.slice(rest.indexOf('.') + 1) : undefined, value, item);
    args[jsonName] = object;
    return;
  }
  const scalar = scalarOf(field, value, item);
  if (field.fieldKind !== 'list') {
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

const floats: ReadonlySet<ScalarType> = new Set([ScalarType.DOUBLE, ScalarType.FLOAT]);
const texts: ReadonlySet<ScalarType> = new Set([ScalarType.STRING, ScalarType.BYTES]);

function scalarOf(field: DescField, value: string | undefined, item: string): JsonValue {
  const type = 'scalar' in field ? field.scalar : undefined;
  if (type === ScalarType.BOOL) {
    if (value === undefined || value === 'true') return true;
    if (value === 'false') return false;
    throw new UsageError(`--arg ${item}: ${field.name} is true or false`);
  }
  if (value === undefined) throw new UsageError(`--arg ${item}: write ${field.name}=VALUE`);
  // Enums, times and durations have a text form in JSON; the server says what it makes of them.
  if (type === undefined || texts.has(type)) return value;
  if (floats.has(type)) {
    const number = Number(value);
    if (value.trim() !== '' && Number.isFinite(number)) return number;
    throw new UsageError(`--arg ${item}: ${field.name} is a number`);
  }
  // As text, because a 64-bit integer does not fit into a JSON number.
  if (/^-?\d+$/.test(value)) return value;
  throw new UsageError(`--arg ${item}: ${field.name} is a whole number`);
}

function unknownField(verb: VerbSpec, name: string): UsageError {
  const meant = nearest(
    name,
    verb.args.fields.map((field) => field.name),
  );
  const suggestion = meant === undefined ? namesOf(verb) : `did you mean ${meant}?`;
  return new UsageError(`--arg ${name}: ${verb.name} has no such arg; ${suggestion}`);
}

function namesOf(verb: VerbSpec): string {
  const names = verb.args.fields.map((field) => field.name);
  return names.length === 0 ? 'it takes none' : `it takes ${names.join(', ')}`;
}

/** One line for each arg of a verb: name, type, and how to write it. */
export function describeArgs(message: DescMessage): { name: string; type: string }[] {
  return message.fields.map((field) => ({ name: field.name, type: typeOf(field) }));
}

function typeOf(field: DescField): string {
  switch (field.fieldKind) {
    case 'list':
      return `${field.listKind === 'scalar' ? scalarName(field.scalar) : 'object'}, repeated`;
    case 'map':
      return `map, ${field.name}.KEY=VALUE`;
    case 'scalar':
      return scalarName(field.scalar);
    case 'enum':
      return field.enum.values.map((value) => value.name).join(' | ');
    default:
      return field.message.name;
  }
}

function scalarName(type: ScalarType): string {
  if (type === ScalarType.BOOL) return 'true or false';
  if (type === ScalarType.STRING) return 'text';
  if (type === ScalarType.BYTES) return 'base64';
  return floats.has(type) ? 'number' : 'whole number';
}
