import type { JsonObject, JsonValue } from '@bufbuild/protobuf';
import type { FieldType, VerbField } from './verb-field.ts';

/** The properties of a JSON Schema, one by one, for people. What a schema says beyond them, validation says. */
export function fieldsOfSchema(schema: JsonObject): VerbField[] {
  const required = new Set(Array.isArray(schema.required) ? schema.required : []);
  return Object.entries(objectOf(schema.properties)).map(([name, property]) =>
    fieldOf(name, objectOf(property), required.has(name)),
  );
}

function fieldOf(name: string, property: JsonObject, required: boolean): VerbField {
  const list = property.type === 'array';
  const open = objectOf(property.additionalProperties);
  const map = property.type === 'object' && property.properties === undefined && Object.keys(open).length > 0;
  const item = list ? objectOf(property.items) : map ? open : property;
  const choices = textsOf(item.enum);
  const example = Array.isArray(property.examples) ? property.examples[0] : undefined;
  return {
    name,
    jsonName: name,
    shape: list ? 'list' : map ? 'map' : 'one',
    type: choices.length > 0 ? 'choice' : typeOf(item),
    choices,
    fields: fieldsOfSchema(item),
    required,
    rule: [
      ...rulesOf(property, list ? ['minItems', 'maxItems'] : []),
      ...(item === property ? [] : rulesOf(item).map((rule) => `each ${rule}`)),
    ].join('; '),
    default: textOf(property.default),
    help: textOf(property.description),
    example: Array.isArray(example) ? example.map(textOf).join(' ') : textOf(example),
  };
}

function typeOf({ type }: JsonObject): FieldType {
  if (type === 'string') return 'text';
  if (type === 'integer' || type === 'number' || type === 'boolean' || type === 'object') return type;
  return 'json';
}

const words: Readonly<Record<string, string>> = {
  minLength: 'at least N characters',
  maxLength: 'at most N characters',
  pattern: 'matches N',
  format: 'has the form of N',
  minimum: 'at least N',
  maximum: 'at most N',
  exclusiveMinimum: 'more than N',
  exclusiveMaximum: 'less than N',
  multipleOf: 'a multiple of N',
  minItems: 'at least N items',
  maxItems: 'at most N items',
};

function rulesOf(schema: JsonObject, only: readonly string[] = []): string[] {
  return Object.entries(words).flatMap(([keyword, text]) => {
    const value = schema[keyword];
    if (value === undefined || (only.length > 0 && !only.includes(keyword))) return [];
    const said = text.replace('N', () => textOf(value));
    return value === 1 ? said.replace(/s$/, '') : said;
  });
}

function objectOf(value: JsonValue | undefined): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}

const textsOf = (value: JsonValue | undefined): string[] => (Array.isArray(value) ? value.map(textOf) : []);

function textOf(value: JsonValue | undefined): string {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
