import type { JsonObject } from '@bufbuild/protobuf';
import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { FieldProblem } from '../errors.ts';
import type { JsonType } from './verbs.ts';

/** JSON Schema 2020-12 with formats, in the strict mode of ajv: what it does not know, it refuses. */

/** @throws Error where the schema itself is wrong; its message says how */
export function jsonType(schema: JsonObject): JsonType {
  // A compiler for each schema: an `$id` means only this one.
  const ajv = new Ajv2020({ strict: true, strictRequired: false, allErrors: true, useDefaults: true });
  formats.default(ajv);
  const validate = ajv.compile(schema);
  return {
    kind: 'json',
    schema,
    check: (value) => (validate(value) ? [] : (validate.errors ?? []).slice(0, 20).map(problemOf)),
  };
}

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
