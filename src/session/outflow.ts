import { ViworksError } from '../errors.ts';
import type { Connection } from '../protocol/connection.ts';
import { wireLimits } from '../protocol/limits.ts';

/**
 * What an agent is handed leaves as fast as the agent takes it: many large commands at once are more than a connection
 * may buffer, and the agent that has to read them is not slow for that. Who takes nothing for a while is.
 */
export interface Outflow {
  /** Whether so many bytes may go now: nothing waits, and there is room. */
  takes(bytes: number): boolean;
  /** Calls back when there is room, after everything that waits already. */
  wait(send: () => void): void;
}

/** Bytes in the connection over which the next waits; a message beside it still fits below the limit. */
const highBytes = wireLimits.outboundBufferBytes / 2;
/** So much goes without a look at the connection: small commands are many, and looking costs as much as sending. */
const unlookedBytes = 256 * 1024;
const lookEveryMs = 5;
/** Milliseconds in which it takes nothing, after which the agent is too slow. */
const patienceMs = 10_000;

/** @param fail ends the session */
export function createOutflow(
  connection: Pick<Connection, 'bufferedBytes'>,
  fail: (error: ViworksError) => void,
): Outflow {
  let waiting: (() => void)[] = [];
  let timer: NodeJS.Timeout | undefined;
  let seen = 0;
  /** Bytes that went since the connection was looked at. */
  let unlooked = 0;
  /** Looks without any progress. */
  let idle = 0;

  function end(): void {
    clearInterval(timer);
    timer = undefined;
    waiting = [];
  }

  function look(): void {
    const { bufferedBytes } = connection;
    // What others add meanwhile is no progress of the agent's.
    idle = bufferedBytes < seen ? 0 : idle + 1;
    seen = bufferedBytes;
    if (idle * lookEveryMs >= patienceMs) {
      end();
      return fail(new ViworksError('peer_too_slow', `The agent left ${bufferedBytes} bytes unread.`));
    }
    let next = 0;
    try {
      while (next < waiting.length && connection.bufferedBytes < highBytes) {
        waiting[next]?.();
        next += 1;
      }
    } catch (error) {
      end();
      return fail(ViworksError.from(error));
    }
    waiting = waiting.slice(next);
    seen = connection.bufferedBytes;
    if (waiting.length === 0) end();
  }

  return {
    takes(bytes) {
      if (waiting.length > 0) return false;
      unlooked += bytes;
      if (unlooked < unlookedBytes) return true;
      unlooked = 0;
      return connection.bufferedBytes < highBytes;
    },
    wait(send) {
      waiting.push(send);
      if (timer !== undefined) return;
      idle = 0;
      timer = setInterval(look, lookEveryMs).unref();
    },
  };
}
