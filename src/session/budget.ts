import { ViworksError } from '../errors.ts';
import { burstMs, newBucket, take } from '../lib/bucket.ts';
import type { Logger } from '../lib/logger.ts';
import type { Metrics } from '../lib/metrics.ts';
import type { Reading } from './reading.ts';

/**
 * What one agent may say in a second. Who says more is read more slowly: what it sends waits in its own connection,
 * nothing of it is lost, and nobody else waits for it. Who has not paused for breath for a long time is sent away.
 */
export interface BudgetLimits {
  /** Envelopes; 0: any number. */
  messagesPerSecond: number;
  /** As they travel; 0: any number. */
  bytesPerSecond: number;
}

/** Milliseconds for which a connection is not read at least: shorter ones cost more than they save. */
const shortestHoldMs = 10;
/** Milliseconds without a time at which half of the burst was earned, after which the session ends. */
const patienceMs = 60_000;
const comeBackMs = 30_000;

export interface BudgetDeps {
  reading: Reading;
  metrics: Pick<Metrics, 'agentsSlowed' | 'agentsSlowedNow'>;
  log: Logger;
  agentId: string;
  /** Ends the session. */
  fail(error: ViworksError): void;
}

/** Messages that one counts for which costs more: it asks the database, or leaves a line in the log. */
const strayMessages = 10;

export interface Budget {
  /**
   * To be called for each envelope that came.
   * @param now of the monotonic clock, in milliseconds
   * @param receivedBytes of the whole connection until now
   */
  spend(now: number, receivedBytes: number): void;
  /** The envelope is of an execution that the agent does not have, an error, or of a kind that is not offered. */
  stray(): void;
}

export function createBudget(limits: BudgetLimits, deps: BudgetDeps): Budget {
  const { reading, metrics, log, agentId, fail } = deps;
  const messageCost = limits.messagesPerSecond === 0 ? 0 : 1000 / limits.messagesPerSecond;
  const byteCost = limits.bytesPerSecond === 0 ? 0 : 1000 / limits.bytesPerSecond;
  const messages = newBucket();
  const bytes = newBucket();
  let counted = 0;
  let held = false;
  /** Since when it has been in debt without a rest. */
  let overSince: number | undefined;

  function slow(now: number, waitMs: number): void {
    if (overSince === undefined) {
      overSince = now;
      log.info({ agentId, ...limits }, 'an agent says more than it may, and is read more slowly');
    } else if (now - overSince >= patienceMs) {
      overSince = now;
      const text = `The agent has said more than it may for ${patienceMs / 1000} s.`;
      return fail(new ViworksError('rate_limited', text, { retryAfterMs: comeBackMs }));
    }
    held = true;
    reading.hold();
    metrics.agentsSlowed.inc();
    metrics.agentsSlowedNow.inc();
    setTimeout(
      () => {
        held = false;
        metrics.agentsSlowedNow.dec();
        reading.release();
      },
      Math.max(waitMs, shortestHoldMs),
    ).unref();
  }

  return {
    spend(now, receivedBytes) {
      const waitMs = Math.max(
        take(messages, now, messageCost),
        take(bytes, now, (receivedBytes - counted) * byteCost),
      );
      counted = receivedBytes;
      if (waitMs > 0) {
        if (!held) slow(now, waitMs);
      } else if (overSince !== undefined && waitMs < -burstMs / 2) overSince = undefined;
    },
    stray() {
      messages.earnedAt += (strayMessages - 1) * messageCost;
    },
  };
}
