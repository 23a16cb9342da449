/**
 * The bus carries wakes: hints that something may have changed. Losing one costs time, never work, because
 * whoever listens reads the rows and looks again by itself after a while.
 */
export interface Topics {
  /** A command's executions changed. Key: command id. At most once. */
  'command.changed': string;
  /** An agent was registered, or its presence changed. Key: agent id. At most once. */
  'agent.changed': string;
  /** An agent was enrolled anew: a session of an older incarnation is over. Key: agent id. At most once. */
  'agent.enrolled': string;
  /** An agent was held or revoked: its session is over. Key: agent id. At most once. */
  'agent.barred': string;
  /** An agent is to make itself a new key, for which it connects again. Key: agent id. At most once. */
  'agent.key': string;
  /** An enrolment that was asked for is decided. Key: key id. At most once. */
  'enrollment.decided': string;
  /** Times of schedules changed. Key: `all`. At most once. */
  'schedules.changed': 'all';
  /** A token of the API was revoked. Key: `all`. At most once. */
  'tokens.revoked': 'all';
  /** Keys that sign commands changed. Key: `all`. At most once. */
  'commandKeys.changed': 'all';
  /** The trust document changed, or a certificate was revoked. Key: `all`. At most once. */
  'certificates.changed': 'all';
}

export interface Bus {
  publish<T extends keyof Topics>(topic: T, key: Topics[T]): void;
  /** Calls the listener for each wake with that key until the returned function is called. */
  subscribe<T extends keyof Topics>(topic: T, key: Topics[T], listener: () => void): () => void;
  /** Calls the listener with the key of each wake of the topic until the returned function is called. */
  subscribeAny<T extends keyof Topics>(topic: T, listener: (key: Topics[T]) => void): () => void;
}

/** The bus of one instance: in this process alone. */
export function createMemoryBus(): Bus {
  const listeners = new Map<string, Set<() => void>>();
  const any = new Map<string, Set<(key: string) => void>>();
  return {
    publish(topic, key) {
      for (const listener of listeners.get(`${topic} ${key}`) ?? []) listener();
      for (const listener of any.get(topic) ?? []) listener(key);
    },
    subscribeAny(topic, listener) {
      const set: Set<(key: never) => void> = any.get(topic) ?? new Set();
      any.set(topic, set.add(listener) as Set<(key: string) => void>);
      return () => void set.delete(listener);
    },
    subscribe(topic, key, listener) {
      const name = `${topic} ${key}`;
      const set = listeners.get(name) ?? new Set();
      listeners.set(name, set.add(listener));
      return () => {
        set.delete(listener);
        if (set.size === 0 && listeners.get(name) === set) listeners.delete(name);
      };
    },
  };
}
