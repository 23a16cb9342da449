import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { Logger } from '../lib/logger.ts';
import { createMemoryRates, nothingCounted, type RateCounter, type RateCounterOptions } from './rates.ts';
import { connectRedis } from './redis-connection.ts';

/** The counters of all instances, in Redis. While Redis is away each instance counts for itself. */

/** Milliseconds that an answer of Redis is waited for: a caller waits meanwhile. */
const answerMs = 250;
/** Milliseconds for which Redis is left alone after it did not answer. */
const pauseMs = 1000;

export interface RedisRates {
  /** @param name of the counter: two of one name are one */
  counter(name: string, options: RateCounterOptions): RateCounter;
  close(): void;
}

export interface RedisRatesOptions {
  url: string;
  log: Logger;
  /** Stands before every key in Redis. */
  prefix?: string;
}

/** Connects by itself, and again for as long as it is open. */
export function createRedisRates({ url, log, prefix = '' }: RedisRatesOptions): RedisRates {
  const redis = connectRedis(url, answerMs);
  let away = false;
  let askAgainAt = 0;
  const failed = (error: unknown): void => {
    askAgainAt = performance.now() + pauseMs;
    const reason = error instanceof Error ? error.message : String(error);
    if (!away) log.warn({ reason }, 'Redis is away; each instance limits its callers by itself meanwhile');
    away = true;
  };
  const answered = (): void => {
    askAgainAt = 0;
    if (away) log.info('Redis is back; instances limit callers together again');
    away = false;
  };
  redis.on('error', failed);
  redis.on('ready', answered);

  return {
    counter(name, options) {
      const { windowSeconds } = options;
      const limiter = new RateLimiterRedis({
        storeClient: redis,
        keyPrefix: `${prefix}viworks:rates:${name}`,
        points: 0,
        duration: windowSeconds,
      });
      const own = createMemoryRates(options);
      /** Redis where it answers, this instance where it does not. */
      const ask = async <T>(question: () => Promise<T>, otherwise: () => Promise<T>): Promise<T> => {
        if (redis.status !== 'ready' || performance.now() < askAgainAt) return otherwise();
        try {
          const answer = await question();
          if (away) answered();
          return answer;
        } catch (error) {
          failed(error);
          return otherwise();
        }
      };
      return {
        add: (client, amount) =>
          ask(
            async () => {
              const { consumedPoints, msBeforeNext } = await limiter.penalty(client, amount);
              return { counted: consumedPoints, leftMs: msBeforeNext };
            },
            () => own.add(client, amount),
          ),
        read: (client) =>
          ask(
            async () => {
              const found = await limiter.get(client);
              return found === null
                ? nothingCounted
                : { counted: found.consumedPoints, leftMs: Math.max(found.msBeforeNext, 0) };
            },
            () => own.read(client),
          ),
      };
    },
    close() {
      redis.disconnect();
    },
  };
}
