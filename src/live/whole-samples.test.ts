import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { StoredSample } from '../storage/sample-rows.ts';
import { createWholeSamples } from './whole-samples.ts';

const stored = (agentId: string, number: number): StoredSample => ({
  agentId,
  at: new Date(number),
  bootId: new Uint8Array(16),
  number,
  receivedAt: new Date(number),
  late: false,
  skewed: false,
  sample: toBinary(SampleSchema, create(SampleSchema, { number: BigInt(number), metrics: { queue: 3 } })),
  cpu: number,
  memory: null,
  swap: null,
  disk: null,
  load: null,
  received: null,
  sent: null,
});

test('a sample is read once for all who look at it, and is whole where a newer one came meanwhile', async () => {
  const rows = new Map([['a', stored('a', 1)]]);
  const whole = createWholeSamples({
    latest: { list: async (ids = []) => ids.flatMap((agentId) => rows.get(agentId) ?? []) },
  });
  const [one, gone] = await whole([stored('a', 1), stored('b', 1)]);
  const [other] = await whole([stored('a', 1)]);
  expect(one?.sample).toEqual({ number: '1', metrics: { queue: 3 } });
  expect(other?.sample).toBe(one?.sample);
  expect(gone).toMatchObject({ headline: { agentId: 'b' }, sample: undefined });
  rows.set('a', stored('a', 2));
  const [newer] = await whole([stored('a', 1)]);
  expect(newer).toMatchObject({ headline: { number: 2, cpu: 2 }, sample: { number: '2' } });
  const [ahead] = await whole([stored('a', 3)]);
  expect(ahead).toMatchObject({ headline: { number: 3 }, sample: undefined });
});
