import { expect, test } from 'vitest';
import {
  boot,
  frame,
  midnight,
  minute,
  type OwnTelemetry,
  ownTelemetry,
  sampleAt,
} from '../../test/support/telemetry.ts';
import { statement } from '../storage/database.ts';
import { type Resolution, resolutions } from './resolution.ts';

const noon = midnight + 12 * 60 * minute;
const range = { from: noon - 3 * 60 * minute, to: noon };

/** Three hours in steps of ten seconds, each value another one. */
async function measured(
  { telemetry }: OwnTelemetry,
  agentId: string,
  offset = 0,
): Promise<{ at: number; cpu: number }[]> {
  const all = Array.from({ length: 3 * 360 }, (_, n) => ({
    at: range.from + n * 10_000,
    cpu: ((n * 37 + offset) % 800) / 8,
  }));
  for (let from = 0; from < all.length; from += 100) {
    const samples = all.slice(from, from + 100).map(({ at, cpu }, n) => sampleAt(from + n + 1, at, cpu));
    await telemetry.ingest({ agentId, bootId: boot() }, frame(...samples));
  }
  return all;
}

function spans(all: readonly { at: number; cpu: number }[], resolution: number) {
  const groups = Map.groupBy(all, ({ at }) => Math.floor(at / (resolution * 1000)) * resolution * 1000);
  return [...groups].map(([at, group]) => {
    const values = group.map(({ cpu }) => cpu).toSorted((a, b) => a - b);
    return {
      at: new Date(at),
      samples: values.length,
      metrics: {
        cpu: {
          count: values.length,
          average: values.reduce((sum, value) => sum + value, 0) / values.length,
          min: values[0],
          max: values.at(-1),
          p95: values[Math.ceil(0.95 * values.length) - 1],
        },
      },
    };
  });
}

async function settle({ telemetry, clock }: OwnTelemetry) {
  for (const seconds of resolutions) {
    clock.advance(seconds * 1000 + 2 * minute);
    await telemetry.rollUp();
  }
}

test.each(resolutions)(
  'spans of %i seconds say the same before and after they are rolled up',
  async (resolution) => {
    const own = await ownTelemetry({}, noon);
    const expected = spans(await measured(own, 'alpha'), resolution);
    await measured(own, 'beta', 5);
    const read = async () =>
      (
        await own.telemetry.history.series(
          { agentId: 'alpha', ...range, resolution, metrics: ['cpu'] },
          { size: 1000 },
        )
      ).items;
    expect((await read()).slice(-1)).toEqual(expected.slice(-1));
    await settle(own);
    expect(await read()).toEqual(expected);
    // Without the samples: it is the roll-ups that are read.
    await own.rows('truncate telemetry_samples');
    expect(await read()).toEqual(expected);
  },
);

test('what was measured just now is there at once, beside what is rolled up', async () => {
  const own = await ownTelemetry({}, noon - 2 * 60 * minute);
  const { telemetry, clock } = own;
  const source = { agentId: 'alpha', bootId: boot() };
  await telemetry.ingest(source, frame(sampleAt(1, clock.now(), 10), sampleAt(2, clock.now() + 1000, 30)));
  await settle(own);
  clock.advance(noon - clock.now());
  await telemetry.ingest(source, frame(sampleAt(3, noon, 50)));
  const { items, resolution } = await telemetry.history.series(
    { agentId: 'alpha', from: range.from, to: noon + minute, metrics: ['cpu', 'disk'] },
    { size: 10 },
  );
  expect(resolution).toBe(60);
  expect(items).toEqual([
    {
      at: new Date(noon - 2 * 60 * minute),
      samples: 2,
      metrics: { cpu: { count: 2, average: 20, min: 10, max: 30, p95: 30 }, disk: null },
    },
    {
      at: new Date(noon),
      samples: 1,
      metrics: { cpu: { count: 1, average: 50, min: 50, max: 50, p95: 50 }, disk: null },
    },
  ]);
});

test('spans that lie far apart are found, however few are asked for at a time', async () => {
  const own = await ownTelemetry({}, noon);
  const { telemetry, clock } = own;
  const source = { agentId: 'alpha', bootId: boot() };
  const apart = [0, 1, 2, 90, 91, 1500, 1501, 5000];
  for (const [n, minutes] of apart.entries()) {
    clock.advance(noon + minutes * minute - clock.now());
    await telemetry.ingest(source, frame(sampleAt(n + 1, clock.now(), n)));
  }
  await settle(own);
  const wanted = { agentId: 'alpha', from: noon, to: clock.now(), resolution: 60, metrics: ['cpu'] } as const;
  for (const size of [1, 2, 3, 7, 8, 100]) {
    const found: number[] = [];
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const page = await telemetry.history.series(wanted, { size, token });
      expect(page.items.length).toBeLessThanOrEqual(size);
      found.push(...page.items.map(({ at }) => (at.getTime() - noon) / minute));
      token = page.nextToken;
    }
    expect(found, `${size} at a time`).toEqual(apart);
  }
});

test('pages follow each other without a gap or a repetition, for spans and for samples', async () => {
  const own = await ownTelemetry({}, noon);
  const all = await measured(own, 'alpha');
  await settle(own);
  const { history } = own.telemetry;
  async function pages<T>(
    read: (token: string | undefined) => Promise<{ items: T[]; nextToken: string | undefined }>,
  ) {
    const items: T[] = [];
    for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
      const page = await read(token);
      expect(page.items.length).toBeLessThanOrEqual(70);
      items.push(...page.items);
      token = page.nextToken;
    }
    return items;
  }
  const series = await pages((token) =>
    history.series({ agentId: 'alpha', ...range, metrics: ['cpu'] }, { size: 70, token }),
  );
  expect(series).toEqual(spans(all, 60));
  const samples = await pages((token) => history.samples('alpha', range, { size: 70, token }));
  expect(samples.map(({ at, cpu }) => ({ at: at.getTime(), cpu }))).toEqual(all);
  await expect(history.samples('alpha', range, { size: 70, token: 'bm90IG91cnM' })).rejects.toMatchObject({
    code: 'invalid_request',
  });
  await expect(history.series({ agentId: 'alpha', from: noon, to: noon }, { size: 1 })).rejects.toMatchObject(
    {
      code: 'invalid_request',
    },
  );
});

test('many agents together: the average over samples, the 95th of a hundred over agents', async () => {
  const own = await ownTelemetry({}, noon);
  const { telemetry, database } = own;
  const add = statement(
    'test_agents_add',
    `insert into agents (agent_id, site, labels, incarnation) values ($1, $2, $3, 1)`,
  );
  for (let n = 0; n < 20; n++) {
    const agentId = `agent-${n}`;
    await database.query(add, [agentId, n < 10 ? 'berlin' : 'paris', { tier: n % 2 === 0 ? 'web' : 'db' }]);
    const source = { agentId, bootId: boot() };
    await telemetry.ingest(source, frame(sampleAt(1, noon - 120_000, n), sampleAt(2, noon - 110_000, n + 2)));
  }
  const read = async (filter: object, resolution: Resolution = 60) =>
    (
      await telemetry.history.aggregate(
        { metric: 'cpu', filter, from: noon - 10 * minute, to: noon, resolution },
        { size: 100 },
      )
    ).items;
  const check = async () => {
    expect(await read({})).toEqual([
      { at: new Date(noon - 120_000), agents: 20, samples: 40, average: 10.5, min: 0, max: 21, p95: 19 },
    ]);
    expect(await read({ site: 'berlin' })).toMatchObject([{ agents: 10, average: 5.5, max: 11, p95: 10 }]);
    expect(await read({ sites: ['paris', 'rome'] })).toMatchObject([{ agents: 10, average: 15.5, min: 10 }]);
    expect(await read({ labels: { tier: 'db' } }, 900)).toMatchObject([{ agents: 10, min: 1, max: 21 }]);
    expect(await read({ agentIds: ['agent-3', 'nobody'] }, 3600)).toMatchObject([
      { agents: 1, min: 3, max: 5 },
    ]);
    expect(await read({ site: 'rome' })).toEqual([]);
  };
  await check();
  await settle(own);
  await own.rows('truncate telemetry_samples');
  await check();
});

const addAgent = statement(
  'test_agents_described',
  `insert into agents (agent_id, site, labels, incarnation, os, capabilities, presence)
   values ($1, $2, '{}', 1, $3, $4, $5)`,
);

test('agents are chosen by all that the registry knows of them', async () => {
  const own = await ownTelemetry({}, noon);
  const { telemetry, database } = own;
  for (const [agentId, ...rest] of [
    ['a', 'berlin', 'Debian', ['exec', 'docker'], 'online'],
    ['b', 'berlin', 'Fedora', ['exec'], 'offline'],
    ['c', 'paris', 'Debian', ['exec'], 'online'],
  ] as const) {
    await database.query(addAgent, [agentId, ...rest]);
    await telemetry.ingest({ agentId, bootId: boot() }, frame(sampleAt(1, noon - minute, 10)));
  }
  const agents = async (filter: object) => {
    const wanted = { metric: 'cpu', filter, from: noon - 10 * minute, to: noon } as const;
    return (await telemetry.history.aggregate(wanted, { size: 10 })).items[0]?.agents ?? 0;
  };
  expect(await agents({})).toBe(3);
  expect(await agents({ os: ['Debian', 'Windows'] })).toBe(2);
  expect(await agents({ capabilities: ['exec', 'docker'] })).toBe(1);
  expect(await agents({ statuses: ['online'], sites: ['berlin', 'paris'] })).toBe(2);
  expect(await agents({ site: 'paris', statuses: ['offline'] })).toBe(0);
  expect(await agents({ sites: [] })).toBe(0);
});

test('sites are told of with those of their agents that say nothing', async () => {
  const own = await ownTelemetry({}, noon);
  const { telemetry, database } = own;
  for (const [agentId, site, ...values] of [
    ['a', 'berlin', 10, 30],
    ['b', 'berlin', 50],
    ['c', 'berlin'],
    ['d', 'paris'],
    ['e', 'rome', 70],
  ] as const) {
    await database.query(addAgent, [agentId, site, '', [], 'online']);
    const samples = values.map((value, n) => sampleAt(n + 1, noon - (n + 1) * 15 * minute, value));
    if (samples.length > 0) await telemetry.ingest({ agentId, bootId: boot() }, frame(...samples));
  }
  const wanted = {
    metrics: ['swap', 'cpu'],
    filter: { sites: ['berlin', 'paris', 'rome'] },
    from: noon - 60 * minute,
    to: noon,
  } as const;
  const check = async () => {
    const first = await telemetry.history.sites(wanted, { size: 2 });
    expect(first.items).toEqual([
      {
        site: 'berlin',
        agents: 3,
        reporting: 2,
        samples: 3,
        metrics: { cpu: { count: 3, average: 30, min: 10, max: 50, p95: 50 }, swap: null },
      },
      { site: 'paris', agents: 1, reporting: 0, samples: 0, metrics: { cpu: null, swap: null } },
    ]);
    const second = await telemetry.history.sites(wanted, { size: 2, token: first.nextToken });
    expect(second).toMatchObject({ items: [{ site: 'rome', reporting: 1 }], nextToken: undefined });
  };
  await settle(own);
  await check();
  await own.rows('truncate telemetry_samples');
  await check();
});

test('what has no column is read from samples, beside what has one', async () => {
  const own = await ownTelemetry({}, noon);
  const { telemetry } = own;
  const samples = Array.from({ length: 90 }, (_, n) => ({
    ...sampleAt(n + 1, range.from + n * 2 * minute, 5),
    metrics: { queue: n },
    disks: [{ mount: '/data', totalBytes: 128n, usedBytes: BigInt(n) }],
  }));
  await telemetry.ingest({ agentId: 'alpha', bootId: boot() }, frame(...samples));
  const metrics = ['metrics.queue', 'cpu', 'disk:/data', 'sent:eth0'];
  const wanted = { agentId: 'alpha', ...range, metrics, resolution: 3600 as const };
  const check = async () => {
    const { items, nextToken } = await telemetry.history.series(wanted, { size: 2 });
    expect(nextToken).toBeDefined();
    expect(items[1]).toEqual({
      at: new Date(range.from + 60 * minute),
      samples: 30,
      metrics: {
        cpu: { count: 30, average: 5, min: 5, max: 5, p95: 5 },
        'metrics.queue': { count: 30, average: 44.5, min: 30, max: 59, p95: 58 },
        'disk:/data': { count: 30, average: 34.765625, min: 23.4375, max: 46.09375, p95: 45.3125 },
        'sent:eth0': null,
      },
    });
    const rest = await telemetry.history.series(wanted, { size: 2, token: nextToken });
    expect(rest.items.map(({ metrics }) => metrics['metrics.queue']?.min)).toEqual([60]);
  };
  await settle(own);
  await check();
  await expect(
    telemetry.history.series({ ...wanted, metrics: ['cpu', 'CPU'] }, { size: 2 }),
  ).rejects.toMatchObject({ code: 'invalid_request', fields: [{ field: 'metrics[1]' }] });
});

test('large samples make pages shorter, and none is left out', async () => {
  const own = await ownTelemetry({}, noon);
  const containers = Array.from({ length: 1000 }, (_, n) => ({
    id: `${n}`.padEnd(128, 'x'),
    name: `${n}`.padEnd(255, 'x'),
    image: `${n}`.padEnd(512, 'x'),
  }));
  for (let n = 1; n <= 9; n++)
    await own.telemetry.ingest(
      { agentId: 'alpha', bootId: boot() },
      frame({ ...sampleAt(n, noon - 60_000 + n), containers }),
    );
  const numbers: number[][] = [];
  for (let token: string | undefined, first = true; first || token !== undefined; first = false) {
    const page = await own.telemetry.history.samples('alpha', range, { size: 100, token });
    numbers.push(page.items.map(({ number }) => number));
    token = page.nextToken;
  }
  expect(numbers.flat()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(numbers.length).toBeGreaterThan(1);
});

test('many agents are not added up over more spans than anybody can look at', async () => {
  const { telemetry } = await ownTelemetry({}, noon);
  const page = { size: 10 };
  const days = (count: number) => ({ from: noon - count * 24 * 60 * minute, to: noon });
  const wanted = { metric: 'cpu', metrics: ['cpu'], filter: {} } as const;
  const field = (call: Promise<unknown>) =>
    call.then(
      () => undefined,
      (error: { fields: { field: string }[] }) => error.fields[0]?.field,
    );
  const { aggregate, sites } = telemetry.history;
  expect(await field(aggregate({ ...wanted, ...days(7), resolution: 60 }, page))).toBeUndefined();
  expect(await field(aggregate({ ...wanted, ...days(8), resolution: 60 }, page))).toBe('resolution');
  expect(await field(aggregate({ ...wanted, ...days(400) }, page))).toBeUndefined();
  expect(await field(aggregate({ ...wanted, ...days(500) }, page))).toBe('from');
  expect(await field(sites({ ...wanted, ...days(500) }, page))).toBe('from');
});

test('minutes that are not kept any more are not answered as if there had been nothing', async () => {
  const { telemetry } = await ownTelemetry({}, noon);
  const ago = (days: number) => noon - days * 24 * 60 * minute;
  const read = (days: number, resolution: Resolution, to = days) =>
    telemetry.history.series(
      { agentId: 'alpha', from: ago(days + 1), to: ago(to), resolution },
      { size: 10 },
    );
  const refused = { message: 'resolution: must be 900 or 3600 this far back: 60 is kept for 30 days' };
  await expect(read(32, 60)).rejects.toMatchObject(refused);
  await expect(read(60, 60, 0)).rejects.toMatchObject(refused);
  expect((await read(32, 900)).items).toEqual([]);
  expect((await read(29, 60)).items).toEqual([]);
});
