import { Redis } from 'ioredis';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { createRedisNewest } from '../../src/bus/redis-newest.ts';
import { silentLogger } from '../../src/lib/logger.ts';
import { statement } from '../../src/storage/database.ts';
import type { StoredSample } from '../../src/storage/sample-rows.ts';
import { createMemoryLatest, type LatestSamples } from '../../src/telemetry/latest.ts';
import { createSharedLatest, type SharedLatest } from '../../src/telemetry/latest-shared.ts';
import { startRedis } from '../support/redis.ts';
import { boot, day, frame, midnight, minute, ownTelemetry, sampleAt } from '../support/telemetry.ts';

/** What the newest samples do, in memory and in Redis, over a database that has all samples. */

/** Longer than a busy machine takes. */
const soon = { timeout: 10_000 };
const noon = midnight + 12 * 60 * minute;
const keepMs = 30 * day;

const redis = await startRedis();
afterAll(() => redis.stop());

type Kind = 'memory' | 'redis';
let prefixes = 0;

async function rig(kind: Kind, url = redis.url) {
  prefixes += 1;
  const prefix = `test-${prefixes}:`;
  const made: SharedLatest[] = [];
  let memory: LatestSamples | undefined;
  const own = await ownTelemetry({ keepMs }, noon, undefined, (stored) => {
    if (kind === 'memory') {
      memory = createMemoryLatest(stored);
      return memory;
    }
    const shared = createRedisNewest({ url, kind: 'samples', keepMs, prefix });
    onTestFinished(() => shared.close());
    const latest = createSharedLatest({ shared, stored, log: silentLogger });
    made.push(latest);
    return latest;
  });
  const believed = (latest = made.at(-1)) => expect.poll(() => latest?.believed ?? true, soon).toBe(true);
  await believed();
  const latest: LatestSamples = made[0] ?? memory ?? createMemoryLatest();
  return {
    ...own,
    prefix,
    latest,
    believed,
    /** Another instance on the same Redis; the same one where nothing is shared. */
    async another(): Promise<LatestSamples> {
      if (kind === 'memory') return latest;
      const shared = createRedisNewest({ url, kind: 'samples', keepMs, prefix });
      onTestFinished(() => shared.close());
      const nothing = async function* () {};
      const stored = { all: nothing, agents: nothing, of: async () => [] };
      const other = createSharedLatest({ shared, stored, log: silentLogger });
      await other.start();
      onTestFinished(() => other.stop());
      await believed(other);
      return other;
    },
    addAgents: (...names: string[]) =>
      own.database.query(
        statement(
          'test_agents_add',
          `insert into agents (agent_id, site, incarnation) select unnest($1::text[]), 'x', 1`,
        ),
        [names],
      ),
    say: (agentId: string, number: number, at: number, cpu = 50, name = 'boot') =>
      own.telemetry.ingest({ agentId, bootId: boot(name) }, frame(sampleAt(number, at, cpu))),
  };
}

/** A row without what tells where it came from. */
const plain = (row: StoredSample | undefined) =>
  row && {
    ...Object.fromEntries(
      Object.entries(row).filter(
        ([name]) => !['claimedAt', 'waited', 'dropped', 'bootId', 'sample'].includes(name),
      ),
    ),
    bootId: Buffer.from(row.bootId).toString('hex'),
    sample: Buffer.from(row.sample).toString('hex'),
  };

const rowOf = (agentId: string, number: number, at: number, name = 'boot'): StoredSample => ({
  agentId,
  at: new Date(at),
  bootId: boot(name),
  number,
  receivedAt: new Date(at + 5),
  late: number % 2 === 0,
  skewed: number % 3 === 0,
  sample: new Uint8Array([number % 256, 0, 255, 10]),
  cpu: number / 7,
  memory: null,
  swap: 0,
  disk: 1e-9,
  load: null,
  received: 123_456_789.25,
  sent: null,
});

describe.each<Kind>(['memory', 'redis'])('the newest samples in %s', (kind) => {
  test('the newest of an agent is there after its commit, in whatever order they came', async () => {
    const { telemetry, addAgents, say } = await rig(kind);
    await addAgents('alpha', 'beta', 'silent');
    expect(await telemetry.latest.get('alpha')).toBeUndefined();
    await say('alpha', 5, noon, 25);
    await say('alpha', 4, noon - minute, 10);
    expect(await telemetry.latestJson('alpha')).toMatchObject({ number: '5', cpu: { usedPercent: 25 } });
    // The clock was set back; the number says what is newer.
    await say('alpha', 6, noon - 3 * minute, 30);
    expect((await telemetry.latest.get('alpha'))?.number).toBe(6);
    // An older boot that comes late does not hide the newer one.
    await say('alpha', 99, noon - day, 1, 'older');
    expect((await telemetry.latest.get('alpha'))?.number).toBe(6);
    await say('alpha', 1, noon, 2, 'next');
    expect((await telemetry.latest.get('alpha'))?.number).toBe(1);
    await say('beta', 1, noon);
    expect((await telemetry.latest.list()).map(({ agentId }) => agentId)).toEqual(['alpha', 'beta']);
    const some = await telemetry.latest.list(['beta', 'nobody', 'silent', 'alpha']);
    expect(some.map(({ agentId }) => agentId)).toEqual(['beta', 'alpha']);
  });

  test('what was put comes back whole, on whichever instance', async () => {
    const { latest, another } = await rig(kind);
    const other = await another();
    const rows = Array.from({ length: 1203 }, (_, n) => rowOf(`agent-${n}`, n + 1, noon - n));
    await latest.put(rows);
    const names = rows.map(({ agentId }) => agentId);
    expect((await latest.list(names)).map(plain)).toEqual(rows.map(plain));
    await expect.poll(async () => (await other.list(names)).length, soon).toBe(rows.length);
    expect((await other.list(names)).map(plain)).toEqual(rows.map(plain));
    expect(plain(await other.get('agent-7'))).toEqual(plain(rows[7]));
  });

  test('whoever puts what when, the newest stays', async () => {
    const { latest, another } = await rig(kind);
    const other = await another();
    const numbers = Array.from({ length: 400 }, (_, n) => ((n * 193) % 400) + 1);
    // One at a time, so that both write in between.
    for (const [at, number] of numbers.entries()) {
      await (at % 2 === 0 ? latest : other).put([rowOf('alpha', number, noon + (number % 50))]);
      if (at % 20 === 0) await latest.get('alpha');
    }
    for (const instance of [latest, other])
      await expect.poll(async () => (await instance.get('alpha'))?.number, soon).toBe(400);
    await other.put([rowOf('alpha', 7, noon - 1, 'older')]);
    await latest.put([rowOf('alpha', 3, noon + day, 'next')]);
    for (const instance of [latest, other])
      await expect.poll(async () => (await instance.get('alpha'))?.number, soon).toBe(3);
  });

  test('an agent that is forgotten has none, and another one of its name has its own', async () => {
    const { telemetry, addAgents, say, rows, latest } = await rig(kind);
    await addAgents('alpha', 'beta');
    await say('alpha', 8, noon);
    await say('beta', 1, noon);
    await rows("delete from telemetry_samples where agent_id = 'alpha'");
    await telemetry.forget('alpha');
    expect(await telemetry.latest.get('alpha')).toBeUndefined();
    expect((await telemetry.latest.list()).map(({ agentId }) => agentId)).toEqual(['beta']);
    await say('alpha', 2, noon - minute);
    expect((await latest.get('alpha'))?.number).toBe(2);
    await expect.poll(async () => (await telemetry.latest.get('alpha'))?.number, soon).toBe(2);
  });

  test('after a restart it is as it was', async () => {
    const before = await rig(kind);
    const names = Array.from({ length: 30 }, (_, n) => `agent-${String(n).padStart(2, '0')}`);
    await before.addAgents(...names, 'silent');
    await Promise.all(names.map((name, n) => before.say(name, n + 1, noon - n * 1000)));
    const seen = async (own: Pick<typeof before, 'telemetry'>) =>
      (await own.telemetry.latest.list()).map(plain);
    const expected = await seen(before);
    expect(expected).toHaveLength(30);
    expect(await seen(await before.restart())).toEqual(expected);
  });
});

describe('the newest samples in Redis', () => {
  const client = (url: string) => {
    const made = new Redis(url);
    onTestFinished(() => made.disconnect());
    return made;
  };

  test('are never put over newer ones, whoever writes at the same time', async () => {
    prefixes += 1;
    const writers = Array.from({ length: 3 }, () => {
      const made = createRedisNewest({ url: redis.url, kind: 'any', keepMs, prefix: `test-${prefixes}:` });
      onTestFinished(() => made.close());
      return made;
    });
    for (const writer of writers) await expect.poll(() => writer.connected, soon).toBe(true);
    const names = ['a', 'b', 'c'];
    const value = (name: string, count: number) => ({
      name,
      series: boot('one'),
      count,
      at: noon - count,
      value: new Uint8Array(Buffer.from(`${name} ${count}`)),
    });
    const counts = Array.from({ length: 300 }, (_, n) => ((n * 151) % 300) + 1);
    await Promise.all(
      counts.map((count, n) => writers[n % 3]?.write(names.map((name) => value(name, count)))),
    );
    const read = async () =>
      (await writers[0]?.read([...names, 'nobody']))?.map((found) => found && String(found));
    expect(await read()).toEqual(['a 300', 'b 300', 'c 300', undefined]);
    // Of another series time decides; where it is the same, the one that comes later.
    await writers[1]?.write([
      { ...value('a', 1), series: boot('two'), at: noon - 301 },
      { ...value('b', 2), series: boot('two'), at: noon - 300 },
      { ...value('c', 3), series: boot('two'), at: noon - 299 },
    ]);
    expect(await read()).toEqual(['a 300', 'b 2', 'c 3', undefined]);
    await writers[2]?.remove(['a', 'nobody']);
    expect(await read()).toEqual([undefined, 'b 2', 'c 3', undefined]);
  });

  test('go when they were kept for as long as they had to be', async () => {
    const { latest, another, prefix } = await rig('redis');
    const other = await another();
    await latest.put([rowOf('alpha', 1, noon)]);
    await expect.poll(() => other.get('alpha'), soon).toBeDefined();
    const left = await client(redis.url).pttl(`${prefix}{viworks:samples}:alpha`);
    expect(left).toBeGreaterThan(keepMs - minute);
    expect(left).toBeLessThanOrEqual(keepMs);
  });

  test('are read from the database where Redis has lost one, or has something else in its place', async () => {
    const { telemetry, addAgents, say, prefix } = await rig('redis');
    await addAgents('alpha', 'beta');
    await say('alpha', 5, noon);
    await say('beta', 6, noon);
    const key = (name: string) => `${prefix}{viworks:samples}:${name}`;
    const direct = client(redis.url);
    await expect.poll(() => direct.exists(key('alpha'), key('beta')), soon).toBe(2);
    await direct.del(key('alpha'));
    await direct.hset(key('beta'), 'value', 'no sample');
    expect((await telemetry.latest.list()).map(({ number }) => number)).toEqual([5, 6]);
    // What was lost is put back.
    await expect.poll(() => direct.exists(key('alpha')), soon).toBe(1);
  });

  test('are read from the database while Redis is away, and telemetry waits for nothing', async () => {
    const own = await startRedis();
    onTestFinished(() => own.stop());
    const { telemetry, addAgents, say, latest, believed, rows } = await rig('redis', own.url);
    await addAgents('alpha', 'beta', 'gamma');
    await say('alpha', 1, noon - minute);
    await say('beta', 1, noon - minute);
    await own.stop();
    await say('alpha', 2, noon);
    await say('gamma', 1, noon);
    expect((await telemetry.latest.get('alpha'))?.number).toBe(2);
    expect((await telemetry.latest.list()).map(({ agentId }) => agentId)).toEqual(['alpha', 'beta', 'gamma']);
    await rows("delete from telemetry_samples where agent_id = 'beta'");
    await telemetry.forget('beta');
    await own.start();
    await believed();
    const direct = client(own.url);
    expect((await direct.keys('*')).map((key) => key.replace(/.*:/, '')).toSorted()).toEqual([
      'alpha',
      'gamma',
    ]);
    await say('alpha', 3, noon + 1);
    expect((await latest.get('alpha'))?.number).toBe(3);
  });

  test('are read from the database while Redis does not answer', async () => {
    const own = await startRedis();
    onTestFinished(() => own.stop());
    const { telemetry, addAgents, say, believed } = await rig('redis', own.url);
    await addAgents('alpha');
    await say('alpha', 1, noon - minute);
    await client(own.url).client('PAUSE', 3000, 'ALL');
    expect((await telemetry.latest.get('alpha'))?.number).toBe(1);
    await say('alpha', 2, noon);
    expect((await telemetry.latest.get('alpha'))?.number).toBe(2);
    await believed();
    expect((await telemetry.latest.get('alpha'))?.number).toBe(2);
  });

  test('of a time before are overtaken by what the database has', async () => {
    const { telemetry, addAgents, say, latest, restart, believed, rows, prefix } = await rig('redis');
    await addAgents('alpha', 'beta');
    await say('alpha', 1, noon - minute);
    await say('beta', 1, noon - minute);
    const direct = client(redis.url);
    const key = (name: string) => `${prefix}{viworks:samples}:${name}`;
    await expect.poll(() => direct.exists(key('alpha'), key('beta')), soon).toBe(2);
    const old = await direct.dumpBuffer(key('alpha'));
    await say('alpha', 2, noon);
    expect((await latest.get('alpha'))?.number).toBe(2);
    await telemetry.stop();
    await direct.restore(key('alpha'), 0, old, 'REPLACE');
    await rows("delete from telemetry_samples where agent_id = 'beta'");
    const after = await restart();
    await believed();
    expect(await direct.hget(key('alpha'), 'count')).toBe('2');
    expect((await after.telemetry.latest.list()).map(({ agentId, number }) => [agentId, number])).toEqual([
      ['alpha', 2],
    ]);
  });
});
