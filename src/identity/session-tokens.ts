import { createHash, randomBytes } from 'node:crypto';
import { ViworksError } from '../errors.ts';
import type { Clock } from '../lib/clock.ts';
import { verifyBytes } from '../protocol/keys.ts';
import { sessionTokenInput } from '../protocol/signed.ts';

/**
 * A session token names a session in a request outside its connection. It is an index and no authority: each use is
 * signed by the key with which the session was opened, counts up, and is good once. So a token that is stolen is
 * worth nothing, and so is a request that was overheard.
 */
export interface SessionTokens {
  /** The first token of a session. */
  issue(holder: TokenHolder): GrantedToken;
  /** The next token; the one before is good until its own end. Undefined where the session is over. */
  renew(sessionId: string): GrantedToken | undefined;
  /** Whose request it is. @throws authentication_failed with one indistinct message */
  check(use: TokenUse): TokenHolder;
  /** The session is over, and so are its tokens. */
  end(sessionId: string): void;
}

export interface TokenHolder {
  sessionId: string;
  agentId: string;
  epoch: number;
  /** Raw Ed25519 key that opened the session, 32 bytes. */
  publicKey: Uint8Array;
}

export interface GrantedToken {
  token: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
  /** On the monotonic clock: time to send the next one. */
  renewAt: number;
}

export interface TokenUse {
  token: string;
  /** What it is used for, for example a method of the API: a signature for one thing is none for another. */
  purpose: string;
  /** Greater with each use in the session. */
  counter: bigint;
  content: Uint8Array;
  /** By the agent's key over sessionTokenInput. */
  signature: Uint8Array;
}

interface Holding {
  holder: TokenHolder;
  used: bigint;
  /** Names and ends of the newest two tokens, the newest last. */
  tokens: { name: string; until: number }[];
}

const sessionTokenLifetimeMs = 900_000;

export function createSessionTokens(clock: Clock, lifetimeMs = sessionTokenLifetimeMs): SessionTokens {
  const bySession = new Map<string, Holding>();
  /** By the hash, so that how long a look-up takes tells nothing of the tokens there are. */
  const byName = new Map<string, Holding>();

  function grant(holding: Holding): GrantedToken {
    const token = `vws_${randomBytes(24).toString('base64url')}`;
    const name = nameOf(token);
    const now = clock.monotonic();
    holding.tokens.push({ name, until: now + lifetimeMs });
    byName.set(name, holding);
    while (holding.tokens.length > 2) byName.delete(holding.tokens.shift()?.name ?? '');
    return { token, expiresAt: clock.now() + lifetimeMs, renewAt: now + (lifetimeMs * 2) / 3 };
  }

  function end(sessionId: string): void {
    for (const { name } of bySession.get(sessionId)?.tokens ?? []) byName.delete(name);
    bySession.delete(sessionId);
  }

  return {
    issue(holder) {
      end(holder.sessionId);
      // A copy: the key comes out of a buffer with much else.
      const publicKey = new Uint8Array(holder.publicKey);
      const holding: Holding = { holder: { ...holder, publicKey }, used: 0n, tokens: [] };
      bySession.set(holder.sessionId, holding);
      return grant(holding);
    },
    renew(sessionId) {
      const holding = bySession.get(sessionId);
      return holding === undefined ? undefined : grant(holding);
    },
    check({ token, purpose, counter, content, signature }) {
      const name = nameOf(token);
      const holding = byName.get(name);
      const until = holding?.tokens.find((known) => known.name === name)?.until;
      if (holding === undefined || until === undefined || until <= clock.monotonic()) throw refused();
      const { holder, used } = holding;
      if (counter <= used || counter >= 2n ** 64n) throw refused();
      const input = sessionTokenInput(token, purpose, counter, content);
      if (!verifyBytes(holder.publicKey, input, signature)) throw refused();
      holding.used = counter;
      return holder;
    },
    end,
  };
}

const nameOf = (token: string): string => createHash('sha256').update(token).digest('base64url');

const refused = () => new ViworksError('authentication_failed', 'The agent could not be authenticated.');
