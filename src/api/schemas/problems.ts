import type { z } from 'zod';
import { type FieldProblem, ViworksError } from '../../errors.ts';

/** So many wrong fields are named: of more, an answer would be larger than its request. */
const mostNamed = 100;

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/**
 * The error of a request that breaks its schema, with every wrong field named as the caller wrote it.
 * @param names what the caller calls a field, where that is not the schema's name
 */
export function invalidRequest(
  error: z.core.$ZodError,
  names: Readonly<Record<string, string>> = {},
): ViworksError {
  const fields = error.issues
    .flatMap((issue) => problemsOf(issue, []))
    .slice(0, mostNamed)
    .map(({ field, problem }) => ({
      field: (Object.hasOwn(names, field) && names[field]) || field,
      problem,
    }));
  const [first] = fields;
  const message = first === undefined ? 'The request is not valid.' : `${first.field}: ${first.problem}`;
  return new ViworksError('invalid_request', message, { fields });
}

function problemsOf(issue: Issue, parent: Path): FieldProblem[] {
  const path = [...parent, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ field: fieldName([...path, key]), problem: 'is not a known field' }));
    case 'invalid_union': {
      // The caller meant the one alternative that knows all its fields; the problems there say more than
      // "none of them matches".
      const meant = issue.errors.filter((issues) =>
        issues.every((inner) => inner.code !== 'unrecognized_keys'),
      );
      const [only] = meant;
      if (meant.length === 1 && only !== undefined) return only.flatMap((inner) => problemsOf(inner, path));
      return [{ field: fieldName(path), problem: issue.message }];
    }
    default:
      return [{ field: fieldName(path), problem: issue.message }];
  }
}

/** `target.agents[3]` */
function fieldName(path: Path): string {
  const name = path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text}${text && '.'}${String(key)}`),
    '',
  );
  return name || '(request)';
}
