import { Redis } from 'ioredis';

/**
 * Connects by itself, and again for as long as it is open. What cannot be asked at once fails at once.
 *
 * @param answerMs milliseconds that an answer is waited for
 */
export const connectRedis = (url: string, answerMs: number): Redis =>
  new Redis(url, {
    commandTimeout: answerMs,
    connectTimeout: 2000,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(100 * attempt, 2000),
  });
