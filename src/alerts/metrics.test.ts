import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { type Sample, SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { hoursUntilFull, measured } from './forecast.ts';
import { metricNames, metricOf, valueText } from './metrics.ts';
import { checkRule, seededRules } from './rules.ts';

const sampleWith = (parts: object) => create(SampleSchema, parts as Sample);
const readings = (metric: string, parts: object) => metricOf(metric)?.read?.(sampleWith(parts));
const machine = (value: number) => [{ subject: '', value }];

test.each<[string, object, unknown]>([
  ['cpu.percent', { cpu: { usedPercent: 12.5 } }, machine(12.5)],
  ['cpu.percent', {}, undefined],
  ['cpu.percent', { cpu: { usedPercent: Number.NaN } }, undefined],
  ['load.per_core', { cpu: { cores: 4, load5m: 6 } }, machine(1.5)],
  ['load.per_core', { cpu: { cores: 0, load5m: 6 } }, undefined],
  ['memory.percent', { memory: { totalBytes: 200n, usedBytes: 50n } }, machine(25)],
  ['swap.percent', { memory: { swapTotalBytes: 0n, swapUsedBytes: 0n } }, undefined],
  [
    'container.unhealthy',
    { containers: [{ name: 'db', health: 'unhealthy' }] },
    [{ subject: 'db', value: 1 }],
  ],
  ['container.unhealthy', { containers: [{ id: '7f', health: '' }] }, [{ subject: '7f', value: 0 }]],
  ['container.unhealthy', {}, []],
  ['container.stopped', { containers: [{ name: 'db', state: 'Exited' }] }, [{ subject: 'db', value: 1 }]],
  ['service.down', { services: [{ name: 'nginx', state: 'failed' }] }, [{ subject: 'nginx', value: 1 }]],
  ['service.down', { services: [{ name: 'nginx', state: 'active' }] }, [{ subject: 'nginx', value: 0 }]],
  [
    'service.down',
    { services: [{ name: 'nginx', state: 'unknown' }] },
    [{ subject: 'nginx', value: undefined }],
  ],
  ['service.down', { services: [], unread: ['services'] }, undefined],
  ['container.stopped', { containers: [], unread: ['containers'] }, undefined],
  ['uptime.seconds', { uptime: { seconds: 90n, nanos: 0 } }, machine(90)],
  ['metrics.queue_length', { metrics: { queue_length: 7 } }, machine(7)],
  ['metrics.queue_length', { metrics: {} }, undefined],
  ['metrics.constructor', { metrics: {} }, undefined],
])('%s of %o', (metric, parts, expected) => {
  expect(readings(metric, parts)).toEqual(expected);
});

test('disks are read one by one, without those that nobody can write to', () => {
  const disks = [
    { mount: '/', fileSystem: 'ext4', totalBytes: 100n, usedBytes: 90n },
    { mount: '/snap/core', fileSystem: 'squashfs', totalBytes: 10n, usedBytes: 10n },
    { mount: '/proc', fileSystem: 'proc', totalBytes: 0n, usedBytes: 0n },
  ];
  expect(readings('disk.percent', { disks })).toEqual([{ subject: '/', value: 90 }]);
  expect(readings('disk.free_bytes', { disks })).toEqual([{ subject: '/', value: 10 }]);
  expect(readings('disk.percent', { disks: [] })).toBeUndefined();
  const told = [{ mount: '/', totalBytes: 100n, usedBytes: 60n, availableBytes: 20n }];
  expect(readings('disk.percent', { disks: told, unread: ['disks'] })).toEqual([{ subject: '/', value: 75 }]);
  expect(readings('disk.free_bytes', { disks: told })).toEqual([{ subject: '/', value: 20 }]);
});

test('every metric has words, and what is none is none', () => {
  for (const name of metricNames) expect(metricOf(name)?.description).not.toBe('');
  expect(metricOf('metrics.') ?? metricOf('toString') ?? metricOf('metrics.A')).toBeUndefined();
  expect([
    valueText('cpu.percent', 91.5),
    valueText('service.down', 1),
    valueText('cpu.percent', undefined),
  ]).toEqual(['91.5 %', '1', 'unknown']);
});

test('the rules of the system are rules, and have names of their own', () => {
  expect(new Set(seededRules.map(({ name }) => name)).size).toBe(seededRules.length);
  for (const rule of seededRules) expect(checkRule(rule).name).toBe(rule.name);
});

const hour = 3_600_000;

/** One measurement every half minute. */
function watched(hours: number, used: (hour: number) => number) {
  let forecast: ReturnType<typeof measured> | undefined;
  for (let at = 0; at <= hours * hour; at += 30_000) forecast = measured(forecast, at, used(at / hour));
  if (forecast === undefined) throw new Error('nothing was measured');
  return hoursUntilFull(forecast);
}

test.each([
  [1, 0.5, 0.01, 49],
  [6, 0.5, 0.01, 44],
  [24, 0.2, 0.03, 0.08 / 0.03],
  [24, 0.5, 0.0001, 4976],
])('after %d hours from %d by %d an hour, it is full in %d hours', (hours, start, rate, expected) => {
  expect(watched(hours, (at) => start + at * rate)).toBeCloseTo(expected, 3);
});

test('a disk that does not fill is never full, and one that was hardly watched is not known', () => {
  expect(watched(6, () => 0.9)).toBe(Number.POSITIVE_INFINITY);
  expect(watched(6, (at) => 0.9 - at * 0.001)).toBe(Number.POSITIVE_INFINITY);
  expect(watched(6, (at) => 0.5 + 0.015 * Math.sin(at * 9))).toBe(Number.POSITIVE_INFINITY);
  expect(watched(0.4, (at) => at)).toBeUndefined();
});

test('noise on the way does not hide where it goes', () => {
  const noisy = watched(12, (at) => 0.5 + at * 0.02 + 0.005 * Math.sin(at * 40));
  expect(noisy).toBeGreaterThan(11);
  expect(noisy).toBeLessThan(15);
});

test('after somebody tidied up, what was before says nothing', () => {
  expect(watched(6.2, (at) => (at < 6 ? 0.3 + at * 0.1 : 0.2))).toBeUndefined();
  expect(watched(8, (at) => (at < 6 ? 0.3 + at * 0.1 : 0.2))).toBe(Number.POSITIVE_INFINITY);
});

test('what comes again, or too late, changes nothing', () => {
  const first = measured(measured(undefined, 0, 0.5), 30_000, 0.6);
  expect(measured(first, 30_000, 0.7)).toBe(first);
  expect(measured(first, 10_000, 0.7)).toBe(first);
});
