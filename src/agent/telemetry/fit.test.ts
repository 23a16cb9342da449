import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { fitted } from './fit.ts';

const containers = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    id: `${n}`.padEnd(100),
    name: 'x'.repeat(200),
    image: 'y'.repeat(400),
  }));
const sample = (count: number) =>
  create(SampleSchema, {
    containers: containers(count),
    services: [{ name: 'nginx', state: 'active' }],
    metrics: { jobs: 1 },
  });

test('a sample that fits is left as it is', () => {
  const small = sample(10);
  expect(fitted(small, 100_000)).toBe(small);
});

test('of one that is too large the longest parts are left out and named', () => {
  const fit = fitted(sample(1000), 100_000);
  expect(toBinary(SampleSchema, fit).byteLength).toBeLessThan(1_000);
  expect(fit).toMatchObject({ containers: [], unread: ['containers'], metrics: { jobs: 1 } });
  expect(fit.services).toHaveLength(1);
  expect(fitted(fit, 5).unread).toEqual(['containers', 'services', 'disks', 'networks']);
});
