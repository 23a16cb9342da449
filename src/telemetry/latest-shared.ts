import type { NewestValue, NewestValues } from '../bus/redis-newest.ts';
import { ViworksError } from '../errors.ts';
import { backoffDelay } from '../lib/backoff.ts';
import type { Logger } from '../lib/logger.ts';
import { createWaits } from '../lib/waits.ts';
import type { StoredSample } from '../storage/sample-rows.ts';
import type { StoredNewest } from '../storage/telemetry-newest.ts';
import { isNewer, type LatestSamples } from './latest.ts';
import { latestFromBytes, latestToBytes } from './latest-bytes.ts';

/**
 * The newest samples in Redis, where all instances see them. Redis is believed from the moment on at which all that the
 * database has was written to it, until its connection breaks or it does not take something: it may then have older
 * samples than the database, or none. Meanwhile, and where Redis has nothing of an agent, the database is asked.
 */
export interface SharedLatestDeps {
  shared: NewestValues;
  stored: StoredNewest;
  log: Logger;
}

/** Agents whose samples wait to be written: when there are more, Redis is too slow, and is filled anew. */
const maximumPending = 100_000;
const maximumGone = 10_000;
const agentsAtOnce = 500;
/** Milliseconds for which Redis is not asked after it did not answer. */
const pauseMs = 1000;
/** Milliseconds between two writes: of what an agent says within them, the newest is written. */
const calmMs = 50;
const backoff = { baseMs: 100, maximumMs: 5000 };

export interface SharedLatest extends LatestSamples {
  /** Whether answers come from Redis. */
  readonly believed: boolean;
}

export function createSharedLatest({ shared, stored, log }: SharedLatestDeps): SharedLatest {
  let state: 'away' | 'filling' | 'believed' = 'away';
  /** Of each agent the newest that is not written yet. */
  let pending = new Map<string, StoredSample>();
  let underWay = new Map<string, StoredSample>();
  /** Agents that are no more, and may still be in Redis. */
  const gone = new Set<string>();
  /** How often Redis was given up. */
  let losses = 0;
  let told = false;
  let askAgainAt = 0;
  let stopped = false;
  const waits = createWaits();
  let running: Promise<void> | undefined;

  function lose(reason: string): void {
    losses += 1;
    pending.clear();
    state = 'away';
    if (!told) log.warn({ reason }, 'Redis is away; the newest samples are read from the database meanwhile');
    told = true;
  }

  shared.onConnection((connected, reason) => {
    if (!connected) lose(reason);
    waits.wake();
  });

  function queue(rows: readonly StoredSample[]): void {
    if (state === 'away') return;
    for (const row of rows) {
      const other = pending.get(row.agentId);
      if (other === undefined || isNewer(row, other)) pending.set(row.agentId, row);
    }
    if (pending.size > maximumPending) lose('it does not keep up');
    waits.wake();
  }

  async function removeGone(): Promise<void> {
    const names = [...gone];
    if (names.length > 0) await shared.remove(names);
    for (const name of names) gone.delete(name);
  }

  /** What is committed from its beginning on is queued, so that nothing is missed. */
  async function fill(): Promise<void> {
    state = 'filling';
    const before = losses;
    await removeGone();
    for await (const agentIds of stored.agents()) {
      const rows = await stored.of(agentIds);
      await shared.write(rows.map(newestValueOf));
      const known = new Set(rows.map(({ agentId }) => agentId));
      const without = agentIds.filter((agentId) => !known.has(agentId));
      if (without.length > 0) await shared.remove(without);
      if (losses !== before || stopped) return;
    }
    if (losses !== before) return;
    state = 'believed';
    askAgainAt = 0;
    if (told) log.info('Redis is back, and has the newest samples');
    told = false;
  }

  async function flush(): Promise<void> {
    await removeGone();
    underWay = pending;
    pending = new Map();
    await shared.write([...underWay.values()].map(newestValueOf));
    underWay = new Map();
  }

  const hasWork = () => shared.connected && (state !== 'believed' || pending.size > 0 || gone.size > 0);

  async function run(): Promise<void> {
    for (let failures = 0; !stopped; ) {
      waits.lower();
      if (!hasWork()) {
        await waits.untilWoken();
        continue;
      }
      try {
        await (state === 'believed' ? flush() : fill());
        failures = 0;
        await waits.pass(calmMs);
      } catch (error) {
        lose(ViworksError.from(error).message);
        underWay = new Map();
        await waits.pass(backoffDelay(backoff, failures++, 0.5 + Math.random() / 2));
      }
    }
  }

  /** Undefined where Redis cannot tell. */
  async function askShared(agentIds: readonly string[]): Promise<(StoredSample | undefined)[] | undefined> {
    if (state !== 'believed' || performance.now() < askAgainAt) return undefined;
    try {
      const values = await shared.read(agentIds);
      return agentIds.map((agentId, at) => {
        const bytes = gone.has(agentId) ? undefined : values[at];
        return bytes && latestFromBytes(agentId, bytes);
      });
    } catch {
      askAgainAt = performance.now() + pauseMs;
      return undefined;
    }
  }

  /** What this instance has committed is seen at once, also where Redis does not have it yet. */
  function newestHere(agentId: string, other: StoredSample | undefined): StoredSample | undefined {
    const here = pending.get(agentId) ?? (gone.has(agentId) ? undefined : underWay.get(agentId));
    return here !== undefined && (other === undefined || isNewer(here, other)) ? here : other;
  }

  /** Element by element with the ids. */
  async function find(agentIds: readonly string[]): Promise<(StoredSample | undefined)[]> {
    // Before the question too: what is written while it is under way may be missed there, and is gone here afterwards.
    const here = agentIds.map((agentId) => newestHere(agentId, undefined));
    const there = await askShared(agentIds);
    const found = new Map<string, StoredSample>();
    agentIds.forEach((agentId, at) => {
      const row = there && newestOfBoth(here[at], there[at]);
      if (row !== undefined) found.set(agentId, row);
    });
    const missing = agentIds.filter((agentId) => !found.has(agentId));
    if (missing.length > 0) {
      const rows = await stored.of(missing);
      for (const row of rows) found.set(row.agentId, row);
      queue(rows);
    }
    return agentIds.map((agentId) => newestHere(agentId, found.get(agentId)));
  }

  return {
    get believed() {
      return state === 'believed';
    },
    get: async (agentId) => (await find([agentId]))[0],
    async list(agentIds) {
      const rows: StoredSample[] = [];
      const add = async (some: readonly string[]) => {
        for (const row of await find(some)) if (row !== undefined) rows.push(row);
      };
      if (agentIds === undefined) for await (const some of stored.agents()) await add(some);
      else
        for (let from = 0; from < agentIds.length; from += agentsAtOnce)
          await add(agentIds.slice(from, from + agentsAtOnce));
      return rows;
    },
    async put(rows) {
      queue(rows);
    },
    async forget(agentId) {
      pending.delete(agentId);
      gone.add(agentId);
      // While Redis is away for long; what stays in it expires.
      for (const oldest of gone) {
        if (gone.size <= maximumGone) break;
        gone.delete(oldest);
      }
      waits.wake();
    },
    async start() {
      running ??= run();
    },
    async stop() {
      stopped = true;
      waits.end();
      await running;
      // What is left is in the database, from which Redis is filled at the next start.
      try {
        while (state === 'believed' && (pending.size > 0 || gone.size > 0)) await flush();
      } catch {}
    },
  };
}

const newestOfBoth = (a: StoredSample | undefined, b: StoredSample | undefined): StoredSample | undefined =>
  a === undefined || (b !== undefined && isNewer(b, a)) ? b : a;

const newestValueOf = (row: StoredSample): NewestValue => ({
  name: row.agentId,
  series: row.bootId,
  count: row.number,
  at: row.at.getTime(),
  value: latestToBytes(row),
});
