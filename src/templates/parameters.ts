import { invalidField, ViworksError } from '../errors.ts';
import { matchesWhole, patternProblem } from '../lib/pattern.ts';
import { storableText } from '../lib/text.ts';
import type { Parameter, ParameterValue } from './types.ts';

/** What parameters are, and which values they take. */

/** Characters that the value of a parameter without bounds of its own may have. */
const longestText = 16_384;

/** @throws invalid_request that names the field, for example `parameters[2].pattern` */
export function checkParameters(parameters: readonly Parameter[]): void {
  const names = new Set<string>();
  parameters.forEach((parameter, index) => {
    const field = `parameters[${index}]`;
    if (names.has(parameter.name)) throw invalidField(`${field}.name`, 'is the name of another parameter');
    names.add(parameter.name);
    const wrong = definitionProblem(parameter);
    if (wrong !== undefined) throw invalidField(`${field}.${wrong.field}`, wrong.problem);
  });
}

type Problem = { field: keyof Parameter; problem: string };

function definitionProblem(parameter: Parameter): Problem | undefined {
  const { type, pattern, min, max, values, required } = parameter;
  const only = (field: keyof Parameter, types: string) => ({ field, problem: `is only for ${types}` });
  if (pattern !== undefined && type !== 'string') return only('pattern', 'a string');
  if (values !== undefined && type !== 'enum') return only('values', 'an enum');
  const bounded = type === 'string' || type === 'integer' || type === 'number';
  if (!bounded && min !== undefined) return only('min', 'a string or a number');
  if (!bounded && max !== undefined) return only('max', 'a string or a number');
  if (type === 'enum') {
    if (values === undefined || values.length === 0)
      return { field: 'values', problem: 'must have at least one value' };
    if (new Set(values).size < values.length)
      return { field: 'values', problem: 'must have each value once' };
  }
  if (min !== undefined && max !== undefined && min > max)
    return { field: 'max', problem: `must be at least min, ${min}` };
  const wrong = pattern === undefined ? undefined : patternProblem(pattern);
  if (wrong !== undefined) return { field: 'pattern', problem: wrong };
  if (required === true && parameter.default !== undefined)
    return { field: 'required', problem: 'must not be set where there is a default' };
  for (const field of ['default', 'example'] as const) {
    const given = parameter[field];
    if (given === undefined) continue;
    const read = readValue(parameter, given);
    if ('problem' in read) return { field, problem: read.problem };
  }
  const read = readValue(parameter, madeUp(parameter));
  if (parameter.default === undefined && parameter.example === undefined && 'problem' in read)
    return { field: 'example', problem: `is needed to try the template: ${read.problem}` };
  return undefined;
}

export const isRequired = (parameter: Parameter): boolean =>
  parameter.required ?? parameter.default === undefined;

/**
 * The values of all parameters; an optional one that was not given and has no default is absent. The text of a
 * value is taken for it, `"5"` for 5, so that a command line needs no types.
 * @throws invalid_request with every wrong parameter, as `params.NAME`
 */
export function readParameters(
  parameters: readonly Parameter[],
  given: Readonly<Record<string, unknown>>,
): Map<string, ParameterValue> {
  const values = new Map<string, ParameterValue>();
  const fields: { field: string; problem: string }[] = [];
  const known = new Set(parameters.map(({ name }) => name));
  for (const name of Object.keys(given)) {
    if (known.has(name)) continue;
    const names = [...known].join(', ') || 'none';
    fields.push({ field: `params.${name}`, problem: `there is no such parameter; there are: ${names}` });
  }
  for (const parameter of parameters) {
    const { name } = parameter;
    const value = Object.hasOwn(given, name) ? given[name] : parameter.default;
    if (value === undefined) {
      if (isRequired(parameter)) fields.push({ field: `params.${name}`, problem: 'must be given' });
      continue;
    }
    const read = readValue(parameter, value);
    if ('problem' in read) fields.push({ field: `params.${name}`, problem: read.problem });
    else values.set(name, read.value);
    // What holds up the server once is not tried again.
    if ('slow' in read) break;
  }
  const [first] = fields;
  if (first === undefined) return values;
  throw new ViworksError('invalid_request', `${first.field}: ${first.problem}`, { fields });
}

/** What the template is tried with when it is saved. */
export function exampleValues(parameters: readonly Parameter[]): Map<string, ParameterValue> {
  return readParameters(
    parameters,
    Object.fromEntries(parameters.map((p) => [p.name, p.example ?? p.default ?? madeUp(p)])),
  );
}

type Read = { value: ParameterValue } | { problem: string; slow?: true };

function readValue(parameter: Parameter, given: unknown): Read {
  const { type, min = -Infinity, max = Infinity, pattern, values = [] } = parameter;
  switch (type) {
    case 'boolean': {
      const value = given === 'true' ? true : given === 'false' ? false : given;
      return typeof value === 'boolean' ? { value } : { problem: 'must be true or false' };
    }
    case 'enum': {
      const value = values.find((each) => each === given);
      return value === undefined ? { problem: `must be one of ${values.join(', ')}` } : { value };
    }
    case 'integer':
    case 'number': {
      const value = typeof given === 'string' && given.trim() !== '' ? Number(given) : given;
      const whole = type === 'integer';
      const right = whole ? Number.isSafeInteger(value) : Number.isFinite(value);
      if (typeof value !== 'number' || !right)
        return { problem: whole ? 'must be a whole number' : 'must be a number' };
      if (value < min || value > max) return { problem: `must be ${bounds(parameter)}` };
      return { value };
    }
    case 'string': {
      if (typeof given !== 'string') return { problem: 'must be text' };
      if (storableText(given) !== given) return { problem: 'must be text without NUL' };
      const most = Math.min(max, longestText);
      if (given.length < min) return { problem: `must have at least ${min} characters` };
      if (given.length > most) return { problem: `must have at most ${most} characters` };
      const matches = pattern === undefined || matchesWhole(pattern, given);
      if (matches === true) return { value: given };
      const problem = `must match ${pattern}`;
      return matches === undefined
        ? { problem: `${problem}, which takes too long to tell`, slow: true }
        : { problem };
    }
  }
}

function bounds({ min, max }: Parameter): string {
  if (min !== undefined && max !== undefined) return `from ${min} to ${max}`;
  return min !== undefined ? `at least ${min}` : `at most ${max}`;
}

/** A value that fits the type and the bounds, though maybe not the pattern. */
function madeUp({ type, min, max, values = [] }: Parameter): ParameterValue {
  switch (type) {
    case 'boolean':
      return true;
    case 'enum':
      return values[0] ?? '';
    case 'integer':
      return Math.floor(Math.min(Math.max(Math.ceil(min ?? 1), 1), max ?? Infinity));
    case 'number':
      return Math.min(Math.max(min ?? 1, 1), max ?? Infinity);
    case 'string':
      return 'x'.repeat(Math.min(Math.max(min ?? 1, 1), max ?? longestText, longestText));
  }
}
