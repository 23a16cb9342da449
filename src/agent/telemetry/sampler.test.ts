import { create } from '@bufbuild/protobuf';
import { expect, onTestFinished, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { createFakeTime } from '../../../test/support/agent-time.ts';
import { createSampler } from './sampler.ts';

function start(firstAfterMs?: number) {
  const time = createFakeTime();
  const begun = time.clock.monotonic();
  const taken: number[] = [];
  const sampler = createSampler({
    async collect() {
      taken.push(time.clock.monotonic() - begun);
      return create(SampleSchema, {});
    },
    keep: async () => {},
    intervalMs: 30_000,
    ...(firstAfterMs !== undefined && { firstAfterMs }),
    clock: time.clock,
    timers: time.timers,
    onError(error) {
      throw error;
    },
  });
  onTestFinished(() => sampler.stop());
  sampler.start();
  const pass = async (ms: number) => {
    time.advance(ms);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { sampler, taken, pass };
}

test('the first sample is taken at once, or when enough time has passed to measure something', async () => {
  const { taken: atOnce } = start();
  expect(atOnce).toEqual([0]);
  const { taken, pass } = start(1000);
  await pass(999);
  expect(taken).toEqual([]);
  await pass(1);
  await pass(30_000);
  expect(taken).toEqual([1000, 31_000]);
});

test('an interval that is told before the first sample changes nothing of when that is taken', async () => {
  const { sampler, taken, pass } = start(1000);
  sampler.setInterval(2000);
  await pass(1000);
  await pass(2000);
  expect(taken).toEqual([1000, 3000]);
});
