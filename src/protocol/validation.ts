import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { type ErrorCode, type FieldProblem, ViworksError } from '../errors.ts';

const validator = createValidator();

/** What of a message breaks the rules in its proto file; empty if it is valid. */
export function problemsOf<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  prefix = '',
): FieldProblem[] {
  const result = validator.validate(schema, message);
  if (result.kind === 'valid') return [];
  if (result.kind === 'error')
    throw new ViworksError('internal', 'A validation rule is broken.', { cause: result.error });
  return result.violations.map((violation) => ({
    field: fieldAt(prefix, pathToString(violation.field)),
    problem: violation.message,
  }));
}

/** A rule of the whole message has no path. */
function fieldAt(prefix: string, path: string): string {
  return path === '' ? prefix.replace(/\.$/, '') || '(message)' : prefix + path;
}

/** @throws the given code, with every wrong field named */
export function assertValid<Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  code: ErrorCode = 'invalid_request',
  prefix = '',
): void {
  const fields = problemsOf(schema, message, prefix);
  const [first] = fields;
  if (first !== undefined) throw new ViworksError(code, `${first.field}: ${first.problem}`, { fields });
}
