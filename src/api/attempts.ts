import type { RateCounter } from '../bus/rates.ts';
import { ViworksError } from '../errors.ts';

/**
 * Attempts with something that may be wrong, by who makes them. As many are under way at once as may still be wrong;
 * the others wait until it is known how those have ended. So nobody tries more by trying all of it at once, and
 * whoever is right only waits.
 */
export interface Attempts {
  /**
   * @param isKnown who is known by now does not wait
   * @throws rate_limited, and what `work` throws
   */
  make<T>(name: string, isKnown: () => boolean, work: () => Promise<T>): Promise<T>;
}

export interface AttemptsDeps {
  /** Counts what was wrong. */
  failures: RateCounter;
  /** So many may be wrong in a window. */
  most: number;
  isWrong(thrown: unknown): boolean;
}

/** Milliseconds that an attempt waits for others; while the database is away, all of them take long. */
const patienceMs = 5_000;
const tooBusyRetryMs = 1_000;

/** What is under way in one name. */
interface Door {
  /** Attempts that are let in, wait, or ask whether they may. */
  present: number;
  inside: number;
  /** How many were counted since somebody was here. */
  wrong: number;
  waiting: Set<() => void>;
}

export function createAttempts({ failures, most, isWrong }: AttemptsDeps): Attempts {
  const doors = new Map<string, Door>();

  function doorOf(name: string): Door {
    const door = doors.get(name) ?? { present: 0, inside: 0, wrong: 0, waiting: new Set() };
    doors.set(name, door);
    return door;
  }

  /** @returns false for who is known and needs no place */
  async function enter(name: string, door: Door, isKnown: () => boolean): Promise<boolean> {
    const until = performance.now() + patienceMs;
    while (!isKnown()) {
      const { wrong } = door;
      const { counted, leftMs } = await failures.read(name);
      // What was counted after the question may not be in the answer.
      if (wrong !== door.wrong) continue;
      if (counted >= most) throw limited('Too many tokens from here were not valid.', leftMs);
      if (counted + door.inside < most) {
        door.inside += 1;
        return true;
      }
      const leftToWait = until - performance.now();
      if (leftToWait <= 0)
        throw limited('Too many tokens from here are checked at this moment.', tooBusyRetryMs);
      await turn(door, leftToWait);
    }
    wakeOne(door);
    return false;
  }

  async function counting<T>(name: string, door: Door, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (isWrong(thrown)) {
        await failures.add(name, 1);
        door.wrong += 1;
      }
      throw thrown;
    }
  }

  return {
    async make(name, isKnown, work) {
      const door = doorOf(name);
      door.present += 1;
      let hasPlace = false;
      try {
        hasPlace = await enter(name, door, isKnown);
        return await counting(name, door, work);
      } finally {
        if (hasPlace) door.inside -= 1;
        door.present -= 1;
        // Also who was refused lets the next one ask.
        wakeOne(door);
        if (door.present === 0) doors.delete(name);
      }
    },
  };
}

function turn({ waiting }: Door, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(wake, ms);
    function wake(): void {
      clearTimeout(timer);
      waiting.delete(wake);
      resolve();
    }
    waiting.add(wake);
  });
}

function wakeOne({ waiting }: Door): void {
  const [first] = waiting;
  first?.();
}

const limited = (message: string, retryAfterMs: number): ViworksError =>
  new ViworksError('rate_limited', message, { retryAfterMs: Math.max(Math.ceil(retryAfterMs), 1) });
