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
      return [{ field: fieldName(path), problem: problemOf(issue) }];
  }
}

/** Zod's own words name neither what would be right nor a unit as ours do; what a schema says itself stays. */
function problemOf(issue: Issue): string {
  const { message } = issue;
  if (issue.code === 'invalid_value' && message.startsWith('Invalid '))
    return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
  if (issue.code === 'too_small' && message.startsWith('Too small'))
    return boundText(issue.origin, issue.inclusive === false ? 'more than' : 'at least', issue.minimum);
  if (issue.code === 'too_big' && message.startsWith('Too big'))
    return boundText(issue.origin, issue.inclusive === false ? 'less than' : 'at most', issue.maximum);
  return message;
}

const counted: Readonly<Record<string, string>> = {
  string: 'characters',
  array: 'items',
  set: 'items',
  map: 'items',
  record: 'items',
};

function boundText(origin: string, bound: string, value: number | bigint): string {
  const unit = counted[origin];
  return unit === undefined ? `must be ${bound} ${value}` : `must have ${bound} ${value} ${unit}`;
}

/** `target.agents[3]` */
function fieldName(path: Path): string {
  const name = path.reduce<string>(
    (text, key) => (typeof key === 'number' ? `${text}[${key}]` : `${text}${text && '.'}${String(key)}`),
    '',
  );
  return name || '(request)';
}
