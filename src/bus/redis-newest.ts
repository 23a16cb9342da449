import { ViworksError } from '../errors.ts';
import { connectRedis } from './redis-connection.ts';

/**
 * The newest value of each of many names, in Redis, for all instances: one hash for each name. What is newer is
 * decided by a script, in one step, so that two instances never put an older value over a newer one.
 */
export interface NewestValues {
  /** Element by element with the names; undefined where there is none. @throws unavailable where nobody can tell */
  read(names: readonly string[]): Promise<(Uint8Array | undefined)[]>;
  /** Keeps each that is newer than what is there. @throws unavailable: then some may be kept, and some not */
  write(values: readonly NewestValue[]): Promise<void>;
  /** @throws unavailable: then some may be gone, and some not */
  remove(names: readonly string[]): Promise<void>;
  readonly connected: boolean;
  /** Calls the listener when the connection is there, and when it breaks: what was written may be lost then. */
  onConnection(listener: (connected: boolean, reason: string) => void): void;
}

export interface NewestValue {
  name: string;
  /** Of two values of one series the one with the higher count is newer, of two others the later one. */
  series: Uint8Array;
  count: number;
  /** Milliseconds since 1970. */
  at: number;
  value: Uint8Array;
}

export interface RedisNewest extends NewestValues {
  close(): void;
}

export interface RedisNewestOptions {
  url: string;
  /** Of what these values are the newest: part of each key. */
  kind: string;
  /** Milliseconds that a value is kept after it was written. */
  keepMs: number;
  /** Stands before every key in Redis. */
  prefix?: string;
}

const writeScript = `for i, key in ipairs(KEYS) do
  local first = (i - 1) * 4 + 2
  local series, count, at = ARGV[first], ARGV[first + 1], ARGV[first + 2]
  local there = redis.call('HMGET', key, 'series', 'count', 'at')
  local newer = true
  if there[1] == series then newer = tonumber(count) > tonumber(there[2])
  elseif there[1] then newer = tonumber(at) >= tonumber(there[3]) end
  if newer then
    redis.call('HSET', key, 'series', series, 'count', count, 'at', at, 'value', ARGV[first + 3])
    redis.call('PEXPIRE', key, ARGV[1])
  end
end`;

/** Milliseconds that an answer of Redis is waited for: a caller waits meanwhile. */
const answerMs = 500;
/** Values of one script, during which Redis does nothing else. */
const valuesAtOnce = 200;

/** Connects by itself, and again for as long as it is open. */
export function createRedisNewest({ url, kind, keepMs, prefix = '' }: RedisNewestOptions): RedisNewest {
  const redis = connectRedis(url, answerMs);
  // In braces: a cluster keeps together what one script reads.
  const keyOf = (name: string): string => `${prefix}{viworks:${kind}}:${name}`;
  const listeners = new Set<(connected: boolean, reason: string) => void>();
  let reason = 'the connection ended';
  const tell = (connected: boolean): void => {
    for (const listener of listeners) listener(connected, reason);
  };
  redis.on('error', (error: Error) => {
    reason = error.message;
  });
  redis.on('ready', () => tell(true));
  redis.on('close', () => tell(false));

  const asked = async <T>(question: () => Promise<T>): Promise<T> => {
    try {
      return await question();
    } catch (cause) {
      throw new ViworksError('unavailable', 'Redis does not answer now.', { cause });
    }
  };

  return {
    read: (names) =>
      asked(async () => {
        const pipeline = redis.pipeline();
        for (const name of names) pipeline.hgetBuffer(keyOf(name), 'value');
        const answers = (await pipeline.exec()) ?? [];
        return names.map((_, at) => {
          const [error, value] = answers[at] ?? [new Error('no answer')];
          if (error) throw error;
          return Buffer.isBuffer(value) ? value : undefined;
        });
      }),
    write: (values) =>
      asked(async () => {
        for (let from = 0; from < values.length; from += valuesAtOnce) {
          const some = values.slice(from, from + valuesAtOnce);
          await redis.eval(
            writeScript,
            some.length,
            ...some.map(({ name }) => keyOf(name)),
            keepMs,
            ...some.flatMap(({ series, count, at, value }) => [
              Buffer.from(series),
              count,
              at,
              Buffer.from(value.buffer, value.byteOffset, value.byteLength),
            ]),
          );
        }
      }),
    remove: (names) =>
      asked(async () => {
        for (let from = 0; from < names.length; from += valuesAtOnce)
          await redis.del(...names.slice(from, from + valuesAtOnce).map(keyOf));
      }),
    get connected() {
      return redis.status === 'ready';
    },
    onConnection(listener) {
      listeners.add(listener);
    },
    close() {
      listeners.clear();
      redis.disconnect();
    },
  };
}
