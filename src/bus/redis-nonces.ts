import { Redis } from 'ioredis';
import { ViworksError } from '../errors.ts';
import type { Logger } from '../lib/logger.ts';
import { type NonceCache, type NonceCacheOptions, nonceName, noncesFull } from './nonces.ts';

/**
 * The nonces of all instances, in Redis: one sorted set, by when each is over. The scripts run as one step, by the
 * clock of Redis, so that two instances never take the same one.
 */

const key = 'viworks:nonces';

const now = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)`;

const issueScript = `${now}
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
return 1`;

const consumeScript = `${now}
local over = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not over then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
return tonumber(over) >= now and 1 or 0`;

/** Milliseconds that an answer of Redis is waited for: an agent waits meanwhile. */
const answerMs = 2000;

export interface RedisNonceCache extends NonceCache {
  close(): void;
}

export interface RedisNonceCacheOptions extends NonceCacheOptions {
  url: string;
  log: Logger;
  /** Stands before the name of the key in Redis. */
  prefix?: string;
}

/** Connects by itself, and again for as long as it is open. */
export function createRedisNonceCache({
  url,
  capacity,
  log,
  prefix = '',
}: RedisNonceCacheOptions): RedisNonceCache {
  const redis = new Redis(url, {
    commandTimeout: answerMs,
    connectTimeout: answerMs,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(100 * attempt, 2000),
  });
  let away = false;
  redis.on('error', (error: Error) => {
    if (!away)
      log.error({ reason: error.message }, 'Redis is away; agents cannot authenticate until it is back');
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info('Redis is back');
    away = false;
  });
  const run = async (script: string, ...args: (string | number)[]): Promise<unknown> => {
    try {
      return await redis.eval(script, 1, `${prefix}${key}`, ...args);
    } catch (cause) {
      throw new ViworksError('unavailable', 'The challenge cannot be checked now.', { cause });
    }
  };
  return {
    async issue(nonce, lifetimeMs) {
      const room = await run(issueScript, nonceName(nonce), capacity, lifetimeMs);
      if (room !== 1) throw noncesFull(capacity);
    },
    async consume(nonce) {
      return (await run(consumeScript, nonceName(nonce))) === 1;
    },
    close() {
      redis.disconnect();
    },
  };
}
