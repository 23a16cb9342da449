import { ViworksError } from '../errors.ts';
import type { UserTokens } from '../identity/user-tokens.ts';

/** Whether the token of a stream is still good: a stream may outlive by far the check that let it begin. */
export interface Standing {
  /** Aborts when the token is no longer good; its reason is the error that says so. */
  readonly signal: AbortSignal;
  end(): void;
}

/** The same, which gives something back when it ends. */
export const closing = (standing: Standing, close: () => void): Standing => ({
  signal: standing.signal,
  end() {
    standing.end();
    close();
  },
});

/** Milliseconds between checks; most of them are answered from memory. */
const lookEveryMs = 2000;

export function watchStanding(
  tokens: Pick<UserTokens, 'verify'>,
  token: string,
  everyMs = lookEveryMs,
): Standing {
  const gone = new AbortController();
  let looking = false;
  const timer = setInterval(async () => {
    if (looking) return;
    looking = true;
    try {
      await tokens.verify(token);
    } catch (thrown) {
      const error = ViworksError.from(thrown);
      // What cannot be checked now is not refused.
      if (error.code === 'unauthenticated') {
        clearInterval(timer);
        gone.abort(error);
      }
    } finally {
      looking = false;
    }
  }, everyMs);
  return { signal: gone.signal, end: () => clearInterval(timer) };
}
