import type { JsonObject } from '@bufbuild/protobuf';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { FieldProblem } from '../errors.ts';
import { createMatcher } from '../lib/pattern.ts';
import { canonicalJson } from '../lib/text.ts';
import type { JsonType } from './verbs.ts';

/** JSON Schema 2020-12 with formats, in the strict mode of ajv: what it does not know, it refuses. */

/** @throws Error where the schema itself is wrong; its message says how */
export function jsonType(schema: JsonObject): JsonType {
  // A compiler for each schema: an `$id` means only this one.
  const ajv = new Ajv2020({
    strict: true,
    strictRequired: false,
    allErrors: true,
    useDefaults: true,
    // 0.07 is a multiple of 0.01, though not to a computer.
    multipleOfPrecision: 9,
    code: { regExp: boundedRegExp },
  });
  formats.default(ajv);
  // Its own compares each item with each other one, which for some thousands of objects takes minutes.
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    validate: (wanted: boolean, items: unknown[]) =>
      !wanted || new Set(items.map(canonicalJson)).size === items.length,
    error: { message: 'must not have the same item twice' },
  });
  const validate = ajv.compile(schema);
  // The answer of such a function is a promise, which is never false.
  if ('$async' in validate) throw new Error('must not be $async');
  return {
    kind: 'json',
    schema,
    check(value) {
      try {
        return validate(value) ? [] : (validate.errors ?? []).slice(0, 20).map(problemOf);
      } catch (error) {
        // A schema that refers to itself is followed as far as the value goes, or for ever.
        if (error instanceof RangeError) return [{ field: '', problem: 'is nested too deeply' }];
        throw error;
      }
    },
  };
}

/** A pattern that takes too long to match does not. ajv tells patterns apart by their text. */
function boundedRegExp(pattern: string, flags: string) {
  const matches = createMatcher(pattern);
  return { test: (text: string) => matches(text) === true, toString: () => `/${pattern}/${flags}` };
}
boundedRegExp.code = 'boundedRegExp';

function problemOf(error: ErrorObject): FieldProblem {
  const path = fieldPath(error.instancePath);
  const { params } = error as { params: Record<string, unknown> };
  switch (error.keyword) {
    case 'required':
      return { field: joined(path, params.missingProperty), problem: 'is missing' };
    case 'additionalProperties':
      return { field: joined(path, params.additionalProperty), problem: 'is not a known field' };
    case 'unevaluatedProperties':
      return { field: joined(path, params.unevaluatedProperty), problem: 'is not a known field' };
    case 'enum':
      return { field: path, problem: `must be one of ${[params.allowedValues].flat().join(', ')}` };
    case 'const':
      return { field: path, problem: `must be ${JSON.stringify(params.allowedValue)}` };
    default:
      return { field: path, problem: error.message ?? 'is not valid' };
  }
}

const joined = (path: string, name: unknown): string => (path === '' ? String(name) : `${path}.${name}`);

/** From a JSON pointer, "/ports/0/name", to the form that people write: "ports[0].name". */
function fieldPath(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : joined(path, part)), '');
}
