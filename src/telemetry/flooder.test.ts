import { expect, test } from 'vitest';
import { lockTable } from '../../test/support/postgres.ts';
import { boot, frame, midnight, minute, ownTelemetry, sampleAt } from '../../test/support/telemetry.ts';

const noon = midnight + 12 * 60 * minute;

test('with five thousand samples of one agent waiting, those of all others are in the next commit', async () => {
  const { telemetry, url, count } = await ownTelemetry();
  const commits: string[][] = [];
  const acknowledged: string[] = [];
  telemetry.onStored((samples) => commits.push(samples.map(({ agentId }) => agentId)));
  const say = async (agentId: string, first: number, samples: number) => {
    const all = Array.from({ length: samples }, (_, n) => sampleAt(first + n, noon + first + n));
    await telemetry.ingest({ agentId, bootId: boot() }, frame(...all));
    acknowledged.push(agentId);
  };
  const lock = await lockTable(url, 'telemetry_samples');
  const first = say('first', 1, 1);
  await lock.blocks('(copy|insert into) telemetry_samples');
  const flood = Array.from({ length: 50 }, (_, n) => say('flooder', n * 100 + 1, 100));
  const others = Array.from({ length: 199 }, (_, n) => `agent-${n}`);
  const rest = others.map((agentId) => say(agentId, 1, 1));
  await lock.release();
  await Promise.all([first, ...flood, ...rest]);
  expect(commits[0]).toEqual(['first']);
  const next = commits[1]?.filter((agentId) => agentId !== 'flooder') ?? [];
  expect(next.toSorted()).toEqual(others.toSorted());
  for (const commit of commits)
    expect(commit.filter((agentId) => agentId === 'flooder').length).toBeLessThanOrEqual(200);
  // Each of the others heard of its own before the flooder heard of a twentieth.
  const before = acknowledged.slice(
    0,
    acknowledged.findLastIndex((agentId) => agentId !== 'flooder'),
  );
  expect(before.filter((agentId) => agentId === 'flooder').length).toBeLessThanOrEqual(5);
  expect(await count('telemetry_samples')).toBe(5200);
});
