import { createContext, Script } from 'node:vm';

/**
 * Regular expressions that somebody else wrote. Some take longer than the world has lasted on the right text,
 * so each match has an end.
 */

/** Milliseconds that one match may take. */
const matchWithinMs = 50;
const match = new Script('new RegExp(source, "u").test(text)');

/** What is wrong with a pattern; undefined if nothing is. */
export function patternProblem(pattern: string): string | undefined {
  try {
    // By itself, because `a)|(b` would be one inside of another group.
    new RegExp(pattern, 'u');
    return undefined;
  } catch {
    return 'must be a regular expression';
  }
}

/** Whether the whole text matches; undefined if that took too long to say. */
export function matchesWhole(pattern: string, text: string): boolean | undefined {
  const context = createContext({ source: whole(pattern), text });
  try {
    return match.runInContext(context, { timeout: matchWithinMs }) === true;
  } catch {
    return undefined;
  }
}

const whole = (pattern: string) => `^(?:${pattern})$`;
