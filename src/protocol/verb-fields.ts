import { create, type DescField, getOption, ScalarType } from '@bufbuild/protobuf';
import { type FieldRules, field as rulesOption } from '#gen/buf/validate/validate_pb.js';
import { arg as argOption } from '#gen/viworks/verbs/v1/options_pb.js';
import { fieldsOfSchema } from './json-schema-fields.ts';
import { rulesInWords } from './rule-words.ts';
import { problemsOf } from './validation.ts';
import type { FieldType, VerbField } from './verb-field.ts';
import type { VerbType } from './verbs.ts';

export function fieldsOf(type: VerbType): VerbField[] {
  if (type.kind === 'json') return fieldsOfSchema(type.schema);
  const empty = problemsOf(type.message, create(type.message)).map(({ field }) => field);
  return type.message.fields.map((field) => fieldOf(field, new Set(empty)));
}

/** @param wrong names of the fields that may not be left out */
function fieldOf(field: DescField, wrong: ReadonlySet<string>): VerbField {
  const { help, default: preset, example } = getOption(field, argOption);
  const enumeration = field.fieldKind === 'enum' ? field.enum.values.map(({ name }) => name) : [];
  const rules: FieldRules = getOption(field, rulesOption);
  const { rule, choices } = rulesInWords(rules);
  const allowed = choices.length > 0 ? choices : enumeration;
  return {
    name: field.name,
    jsonName: field.jsonName,
    shape: field.fieldKind === 'list' || field.fieldKind === 'map' ? field.fieldKind : 'one',
    type: allowed.length > 0 ? 'choice' : typeOf(field),
    choices: allowed,
    fields:
      field.fieldKind === 'message' ? field.message.fields.map((inner) => fieldOf(inner, new Set())) : [],
    required: wrong.has(field.name),
    rule,
    default: preset,
    help,
    example,
  };
}

const messages: Readonly<Record<string, FieldType>> = {
  'google.protobuf.Timestamp': 'time',
  'google.protobuf.Duration': 'duration',
  'google.protobuf.Struct': 'json',
  'google.protobuf.Value': 'json',
};

function typeOf(field: DescField): FieldType {
  const message = 'message' in field ? field.message : undefined;
  if (message !== undefined) return messages[message.typeName] ?? 'object';
  return 'scalar' in field && field.scalar !== undefined ? scalars[field.scalar] : 'text';
}

const scalars: Readonly<Record<ScalarType, FieldType>> = {
  [ScalarType.STRING]: 'text',
  [ScalarType.BYTES]: 'base64',
  [ScalarType.BOOL]: 'boolean',
  [ScalarType.DOUBLE]: 'number',
  [ScalarType.FLOAT]: 'number',
  [ScalarType.INT32]: 'integer',
  [ScalarType.UINT32]: 'integer',
  [ScalarType.SINT32]: 'integer',
  [ScalarType.FIXED32]: 'integer',
  [ScalarType.SFIXED32]: 'integer',
  [ScalarType.INT64]: 'integer64',
  [ScalarType.UINT64]: 'integer64',
  [ScalarType.SINT64]: 'integer64',
  [ScalarType.FIXED64]: 'integer64',
  [ScalarType.SFIXED64]: 'integer64',
};

const words: Readonly<Record<FieldType, string>> = {
  text: 'text',
  base64: 'base64',
  integer: 'whole number',
  integer64: 'whole number',
  number: 'number',
  boolean: 'true or false',
  choice: 'choice',
  time: 'time',
  duration: 'duration',
  object: 'object',
  json: 'JSON',
};

/** The type in words, for example "list of text". */
export function typeInWords(field: Pick<VerbField, 'shape' | 'type'>): string {
  const word = words[field.type];
  return field.shape === 'one' ? word : `${field.shape} of ${word}`;
}

/** A command line that passes the rules, as far as the examples in the declaration reach. */
export function exampleOf(verb: {
  name: string;
  effect: string;
  positional: string;
  args: VerbType;
}): string {
  const shown = fieldsOf(verb.args).filter((field) => field.required || field.example !== '');
  const value = (field: VerbField) => field.example || placeholder(field);
  const named = shown
    .filter((field) => field.name !== verb.positional)
    .map((field) => ` --arg ${quoted(`${field.name}=${value(field)}`)}`);
  const last = shown.find((field) => field.name === verb.positional);
  const target = verb.effect === 'read' ? '--all' : '--agent web-1';
  const before = last?.shape === 'list' && value(last).includes(' ') ? '--' : undefined;
  const positional =
    last === undefined ? '' : ` ${before === undefined ? quoted(value(last)) : `-- ${value(last)}`}`;
  const head = `viworks run ${verb.name}`;
  return before === undefined
    ? `${head}${positional} ${target}${named.join('')}`
    : `${head} ${target}${named.join('')}${positional}`;
}

function placeholder({ type, choices, name }: VerbField): string {
  if (type === 'choice') return choices[0] ?? '';
  if (type === 'boolean') return 'true';
  if (type === 'integer' || type === 'integer64' || type === 'number') return '1';
  return name.toUpperCase();
}

const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
