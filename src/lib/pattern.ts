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
const match = new Script('pattern.test(text)');

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
export const matchesWhole = (pattern: string, text: string): boolean | undefined =>
  createMatcher(`^(?:${pattern})$`)(text);

/**
 * Whether the pattern is found in a text; undefined if that took too long to say.
 * @throws SyntaxError where it is no regular expression
 */
export function createMatcher(pattern: string): (text: string) => boolean | undefined {
  const compiled = new RegExp(pattern, 'u');
  if (isQuick(pattern)) return (text) => compiled.test(text);
  // A watched match costs some tens of microseconds, and its surroundings a millisecond.
  let context: Record<string, unknown> | undefined;
  return (text) => {
    context ??= createContext({ pattern: compiled });
    context.text = text;
    try {
      return watchedMatch(context);
    } finally {
      context.text = '';
    }
  };
}

/** Begins at the beginning and repeats one thing at most: the work grows as the text does. */
function isQuick(pattern: string): boolean {
  const simple = pattern.replaceAll(/\\./gu, 'e').replaceAll(/\[[^\]]*\]/gu, 'c');
  const repeats = simple.match(/[*+?{]/gu) ?? [];
  return simple.startsWith('^') && !/[(|]/u.test(simple) && repeats.length <= 1;
}

function watchedMatch(context: Record<string, unknown>): boolean | undefined {
  const before = process.threadCpuUsage();
  for (let look = 0; look < looks; look++) {
    try {
      return match.runInContext(context, { timeout: lookAfterMs }) === true;
    } catch {
      const { user, system } = process.threadCpuUsage(before);
      if (user + system >= workMs * 1000) return undefined;
    }
  }
  return undefined;
}
