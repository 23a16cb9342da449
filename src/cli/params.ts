import { UsageError } from './failure.ts';

/** Values of `--param name=value`, as text: the template knows their types. @throws UsageError */
export function paramsOf(given: readonly string[] = []): Record<string, string> {
  const params = new Map<string, string>();
  for (const item of given) {
    const equals = item.indexOf('=');
    if (equals < 1) throw new UsageError(`--param ${item}: write NAME=VALUE`);
    const name = item.slice(0, equals);
    if (params.has(name)) throw new UsageError(`--param ${item}: ${name} was given before`);
    params.set(name, item.slice(equals + 1));
  }
  return Object.fromEntries(params);
}
