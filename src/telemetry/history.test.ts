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
