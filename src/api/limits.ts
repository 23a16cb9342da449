import type { RateCount, RateCounter } from '../bus/rates.ts';
import { ViworksError } from '../errors.ts';
import type { Actor } from '../identity/types.ts';
import { clientNetwork, isLoopback } from '../lib/addresses.ts';
import { createAttempts } from './attempts.ts';

/**
 * How much one client may ask of the API: calls within a window, streams at once, and, by its address, attempts with
 * a token that does not count. A client is a token; whoever has none is its address.
 */
export interface CallLimits {
  /**
   * Finds out who calls. An address from which too many tokens were wrong is answered only where the token was right
   * a while ago.
   * @throws rate_limited, and what `verify` throws
   */
  identify(caller: Caller, verify: (token: string) => Promise<Actor>): Promise<Actor>;
  /** Lets somebody try who shows something else than a token. @throws rate_limited, and what `work` throws */
  attempt<T>(address: string, work: () => Promise<T>): Promise<T>;
  /** @param tell gets the headers of the answer, also of a refusal @throws rate_limited */
  countCall(actor: Actor, address: string, tell: (headers: RateHeaders) => void): Promise<void>;
  /** For what needs no token and is no probe. @throws rate_limited */
  countAddress(address: string, calls?: number): Promise<void>;
  /** Until the returned function is called. @throws rate_limited */
  openStream(actor: Actor, address: string): () => void;
}

export interface Caller {
  address: string;
  /** Empty where there is none. */
  token: string;
}

export type RateHeaders = Record<string, string>;

export interface CallLimitsDeps {
  /** Counts calls. */
  calls: RateCounter;
  /** Counts tokens that were wrong. */
  failures: RateCounter;
  settings: CallLimitSettings;
}

/** 0 is no limit. */
export interface CallLimitSettings {
  callsPerWindow: number;
  windowSeconds: number;
  failuresPerWindow: number;
  streams: number;
  /** Whether callers on this machine are limited as well. */
  local: boolean;
}

/** Codes that say that what somebody showed does not count. */
const wrongTokens: ReadonlySet<string> = new Set([
  'unauthenticated',
  'enrollment_refused',
  'authentication_failed',
]);
const isWrong = (thrown: unknown): boolean => wrongTokens.has(ViworksError.from(thrown).code);

/** Tokens that were right, by which a caller is known where somebody else at its address guesses. */
const rememberedTokens = 10_000;

export function createCallLimits({ calls, failures, settings }: CallLimitsDeps): CallLimits {
  const { callsPerWindow, windowSeconds, failuresPerWindow, local } = settings;
  const right = new Set<string>();
  const streams = new Map<string, number>();
  const attempts = createAttempts({ failures, most: failuresPerWindow, isWrong });
  const isExempt = (address: string): boolean => !local && isLoopback(address);

  function remember(token: string): void {
    right.delete(token);
    right.add(token);
    const [oldest] = right;
    if (right.size > rememberedTokens && oldest !== undefined) right.delete(oldest);
  }

  async function count(client: string, most: number, amount: number, tell: (headers: RateHeaders) => void) {
    const { counted, leftMs } = await calls.add(client, amount);
    tell(headersOf(most, windowSeconds, { counted, leftMs }));
    if (counted <= most) return;
    throw limited(`More than ${most} calls in ${windowSeconds} s.`, leftMs);
  }

  /** @param isKnown was right a while ago, and is not made to pay for others at its address */
  async function attempt<T>(address: string, isKnown: () => boolean, work: () => Promise<T>): Promise<T> {
    if (failuresPerWindow === 0 || isExempt(address)) return work();
    return attempts.make(clientNetwork(address), isKnown, work);
  }

  return {
    identify({ address, token }, verify) {
      const isKnown = () => right.has(token);
      return attempt(address, isKnown, async () => {
        try {
          const actor = await verify(token);
          remember(token);
          return actor;
        } catch (error) {
          if (isWrong(error)) right.delete(token);
          throw error;
        }
      });
    },

    attempt: (address, work) => attempt(address, () => false, work),

    async countCall(actor, address, tell) {
      const most = actor.rateLimit ?? (isExempt(address) ? 0 : callsPerWindow);
      if (most > 0) await count(clientOf(actor, address), most, 1, tell);
    },

    async countAddress(address, amount = 1) {
      if (callsPerWindow === 0 || isExempt(address)) return;
      await count(`address ${clientNetwork(address)}`, callsPerWindow, amount, () => {});
    },

    openStream(actor, address) {
      if (settings.streams === 0 || isExempt(address)) return () => {};
      const client = clientOf(actor, address);
      const open = streams.get(client) ?? 0;
      if (open >= settings.streams) {
        throw limited(`${settings.streams} streams are open, which is as many as may be.`, streamRetryMs);
      }
      streams.set(client, open + 1);
      let closed = false;
      return () => {
        if (closed) return;
        closed = true;
        const left = (streams.get(client) ?? 1) - 1;
        if (left === 0) streams.delete(client);
        else streams.set(client, left);
      };
    },
  };
}

const streamRetryMs = 5_000;

const clientOf = ({ tokenId }: Actor, address: string): string =>
  tokenId === undefined ? `address ${clientNetwork(address)}` : `token ${tokenId}`;

const limited = (message: string, retryAfterMs: number): ViworksError =>
  new ViworksError('rate_limited', message, { retryAfterMs: Math.max(Math.ceil(retryAfterMs), 1) });

/** The fields of draft-ietf-httpapi-ratelimit-headers-10, which are Structured Fields (RFC 9651). */
function headersOf(most: number, windowSeconds: number, { counted, leftMs }: RateCount): RateHeaders {
  const seconds = Math.ceil(leftMs / 1000);
  return {
    'ratelimit-policy': `"default";q=${most};w=${windowSeconds}`,
    ratelimit: `"default";r=${Math.max(most - counted, 0)};t=${seconds}`,
    ...(counted > most ? { 'retry-after': String(Math.max(seconds, 1)) } : {}),
  };
}
