import { createContext, Script } from 'node:vm';

/**
 * Regular expressions that somebody else wrote. Some take longer than the world has lasted on the right text,
 * so each match has an end.
 */

/** Milliseconds of work that one match may take. */
const workMs = 40;
/** Milliseconds until it is seen how much of them was work: on a busy machine the rest was waiting. */
const lookAfterMs = 50;
const looks = 20;
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
  const context = createContext({ source: `^(?:${pattern})$`, text });
  for (let look = 0; look < looks; look++) {
    const before = process.threadCpuUsage();
    try {
      return match.runInContext(context, { timeout: lookAfterMs }) === true;
    } catch {
      const { user, system } = process.threadCpuUsage(before);
      if (user + system >= workMs * 1000) return undefined;
    }
  }
  return undefined;
}
