import { create, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import type { StoredSample } from '../storage/sample-rows.ts';
import { telemetryMetrics } from '../storage/telemetry-metrics.ts';
import { observed } from './alerts.ts';

const receivedAt = new Date('2030-01-01T00:00:00Z');
const off = (ms: number) => new Date(receivedAt.getTime() + ms);
const none = Object.fromEntries(telemetryMetrics.map((metric) => [metric, undefined]));

const stored = (at: Date, late: boolean, waited?: boolean): StoredSample =>
  ({
    ...none,
    agentId: 'web-1',
    at,
    bootId: new Uint8Array(16),
    number: 1,
    receivedAt,
    late,
    skewed: false,
    ...(waited === undefined ? {} : { waited }),
    sample: toBinary(SampleSchema, create(SampleSchema, { late })),
  }) as StoredSample;

test.each([
  ['of now, by a clock that is ahead', off(60_000), false, receivedAt],
  ['of now, by a clock that is behind', off(-60_000), false, receivedAt],
  ['that waited', off(-60_000), true, off(-60_000)],
  ['that waited, by a clock that is ahead', off(240_000), true, receivedAt],
])('a sample %s is seen at its time and never in the future', (_, at, late, seenAt) => {
  for (const sample of [stored(at, late), stored(at, late, late)])
    expect(observed(sample)).toMatchObject({ agentId: 'web-1', at: seenAt.getTime(), late });
});
