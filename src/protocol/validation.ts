import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { createValidator } from '@bufbuild/protovalidate';
import { type ErrorCode, type FieldProblem, ViworksError } from '../errors.ts';

const patterns = new Map<string, RegExp>();

/**
 * Patterns of the proto files, which are ours: each begins at the beginning and tries no place twice. The engine that
 * the validator would take for patterns of strangers needs a hundred times as long: 100 ms for a megabyte that says
 * it is the name of an agent.
 */
function regexMatch(pattern: string, text: string): boolean {
  let compiled = patterns.get(pattern);
  if (compiled === undefined) {
    compiled = new RegExp(pattern, 'u');
    patterns.set(pattern, compiled);
  }
  return compiled.test(text);
}

const validator = createValidator({ regexMatch });

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
