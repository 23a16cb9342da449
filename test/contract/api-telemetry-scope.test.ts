import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Client } from '../../src/cli/client.ts';
import { type ApiApp, startApiApp } from '../support/api-app.ts';
import { errorOf } from '../support/api-surfaces.ts';
import { storedSample } from '../support/api-telemetry.ts';

/** What is stored of two sites, asked for by whoever may see one, none or all. */

let app: ApiApp;
let everybody: Client;
let berlin: Client;
let nobody: Client;

beforeAll(async () => {
  app = await startApiApp();
  for (const [agentId, site, cpu] of [
    ['a', 'berlin', 10],
    ['b', 'berlin', 20],
    ['c', 'paris', 90],
  ] as const) {
    await app.addAgents(site, agentId);
    await app.query(
      'test_sample',
      `insert into telemetry_samples (agent_id, at, boot_id, number, received_at, late, skewed, cpu, sample)
       values ($1, now(), $2, 1, now(), false, false, $3, $4)`,
      [agentId, Buffer.from(storedSample.bootId), cpu, Buffer.from(storedSample.sample)],
    );
  }
  everybody = await app.client('viewer');
  berlin = await app.client('viewer', { sites: ['berlin'] });
  nobody = await app.client('viewer', { sites: [] });
});
afterAll(() => app.stop());

test.each(['a', 'c', 'nowhere'])('of the agent %s', async (agentId) => {
  const input = { agentId };
  const calls = ({ telemetry }: Client) => [
    () => telemetry.latest.query(input).then(({ agents }) => agents.length),
    () => telemetry.samples.query(input).then(({ samples }) => samples.length),
    () => telemetry.series.query(input).then(({ spans }) => spans.length),
  ];
  const seen = async (client: Client, there: boolean) => {
    for (const call of calls(client))
      if (there) expect(await call()).toBe(1);
      else
        expect(await errorOf(call())).toMatchObject({
          code: 'agent_unknown',
          message: `There is no agent "${agentId}".`,
          fields: [{ field: 'agentId', problem: 'no such agent' }],
        });
  };
  await seen(everybody, agentId !== 'nowhere');
  await seen(berlin, agentId === 'a');
  await seen(nobody, false);
});

test.each([
  [{}, 3, 2],
  [{ site: 'paris' }, 1, 0],
  [{ sites: ['berlin', 'paris'] }, 3, 2],
  [{ agentIds: ['b', 'c'] }, 2, 1],
])('of all agents where %j', async (filter, all, some) => {
  const agents = async ({ telemetry }: Client) => {
    const { spans } = await telemetry.aggregate.query({ metric: 'cpu', filter, resolution: 3600 });
    const { sites } = await telemetry.sites.query({ filter });
    const counted = spans.reduce((sum, span) => sum + span.agents, 0);
    expect(sites.reduce((sum, { reporting }) => sum + reporting, 0)).toBe(counted);
    return counted;
  };
  expect(await agents(everybody)).toBe(all);
  expect(await agents(berlin)).toBe(some);
  expect(await agents(nobody)).toBe(0);
});

test('sites that are not one’s own are not named', async () => {
  const sites = async ({ telemetry }: Client) =>
    (await telemetry.sites.query()).sites.map(({ site, metrics }) => [site, metrics.cpu?.max]);
  expect(await sites(everybody)).toEqual([
    ['berlin', 20],
    ['paris', 90],
  ]);
  expect(await sites(berlin)).toEqual([['berlin', 20]]);
  expect(await sites(nobody)).toEqual([]);
  const listed = await berlin.telemetry.latest.query({ filter: { site: 'paris' } });
  expect(listed.agents).toEqual([]);
  expect((await berlin.telemetry.latest.query()).agents.map(({ agentId }) => agentId)).toEqual(['a', 'b']);
});

test('what is asked wrongly is refused by the name of its field', async () => {
  const { telemetry } = everybody;
  const wrong = async (call: Promise<unknown>) => (await errorOf(call)).fields.map(({ field }) => field);
  const [early, later] = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'];
  expect(await wrong(telemetry.samples.query({ agentId: 'a', from: later, to: early }))).toEqual(['to']);
  expect(await wrong(telemetry.series.query({ agentId: 'a', metrics: ['cpu', 'hat'] }))).toEqual([
    'metrics[1]',
  ]);
  expect(await wrong(telemetry.series.query({ agentId: 'a', metrics: [] }))).toEqual(['metrics']);
  expect(await wrong(telemetry.series.query({ agentId: 'a', pageToken: 'eA' }))).toEqual(['pageToken']);
  expect(await wrong(telemetry.series.query({ agentId: 'a', from: 'yesterday' }))).toEqual(['from']);
  const week = {
    metric: 'cpu',
    resolution: 60,
    from: '2026-01-01T00:00:00Z',
    to: '2026-02-01T00:00:00Z',
  } as const;
  expect(await wrong(telemetry.aggregate.query(week))).toEqual(['resolution']);
  expect(await wrong(telemetry.aggregate.query({ metric: 'heat' as 'cpu' }))).toEqual(['metric']);
  expect(await wrong(telemetry.sites.query({ from: '2020-01-01T00:00:00Z' }))).toEqual(['from']);
});
