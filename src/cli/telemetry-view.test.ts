import { expect, test } from 'vitest';
import { storedSample } from '../../test/support/api-telemetry.ts';
import { sampleView } from '../api/schemas/samples.ts';
import type { LatestView } from '../api/schemas/telemetry.ts';
import { bytesText } from '../lib/bytes.ts';
import { chart } from './telemetry-chart.ts';
import { unitOf, valueText } from './telemetry-units.ts';
import { marks, summary, whyNone } from './telemetry-view.ts';

const sample = sampleView(storedSample);
const now = Date.parse('2030-01-01T00:02:00.000Z');
const terminal = { style: (_format: string, text: string) => text };
const latest: LatestView = {
  agentId: 'web-1',
  site: 'berlin',
  status: 'degraded',
  lastSeenAt: '2030-01-01T00:01:50.000Z',
  sample,
};

test('all of a sample is said, and what is odd about it first', () => {
  expect(summary(terminal, latest, now)).toEqual([
    'web-1 in berlin, degraded, last seen 10s ago',
    'sample                2m ago (2030-01-01T00:00:00.000Z)',
    '                      late: it arrived 1m 30s after it was taken',
    '                      dropped: the agent lost 4 samples before this one since it started',
    '                      unread: containers could not be read, or not all of them',
    'cpu                   12.5 % of 2 cores, load 0.50 0.25 0.13',
    'memory                50.0 % (1.0 KiB of 2.0 KiB)',
    'swap                  25.0 % (128 B of 512 B)',
    'disk /                94.7 % (900 B of 1000 B, 50 B free), inodes 10.0 %, reads 1 B/s, writes 2 B/s, busy 5.0 %',
    'disk /data            1.0 % (10 B of 1000 B, 990 B free)',
    'network eth0          received 100 B/s, sent 200 B/s, 1 error, 2 drops',
    'containers            1 running; unhealthy: shop',
    'services              1 of 1 run',
    'metrics.queue_length  12',
    'uptime                1m 2s',
  ]);
});

test('what does not run, and what is ill, is named', () => {
  const services = [
    { name: 'nginx', state: 'active', subState: 'running', restarts: 0 },
    { name: 'backup', state: 'failed', subState: 'failed', restarts: 0 },
    { name: 'ghost', state: 'not-found', subState: '', restarts: 0 },
  ];
  const container = { id: '1', name: 'shop', image: 'shop:1', state: 'running', health: '' };
  const containers = [container, { ...container, id: '2', name: '', health: 'unhealthy' }];
  const lines = summary(
    terminal,
    { ...latest, sample: { ...sample, unread: [], services, containers, cpu: undefined, memory: undefined } },
    now,
  ).map((line) => line.trim());
  expect(lines).toContain('containers            2 running; unhealthy: 2');
  expect(lines).toContain('services              1 of 3 run; backup failed (failed), ghost not-found');
  const silent = { ...latest, sample: { ...sample, containers: [] } };
  expect(summary(terminal, silent, now)).toContain('containers            not known');
  expect(lines.some((line) => /^(cpu|memory|swap)/.test(line))).toBe(false);
});

test('text of an agent does not take over the terminal', () => {
  const metrics = {};
  const disks = [
    { mount: '/\u001b[2J\ncpu  1 %\u202e', fileSystem: '', device: '', totalBytes: 0, usedBytes: 0 },
  ];
  const text = summary(terminal, { ...latest, sample: { ...sample, disks, metrics } }, now).join('\n');
  expect(text).toContain('disk /\\x1b[2J\\x0acpu  1 %\\u202e');
});

test('what is full is coloured, and its colour is no text', () => {
  const colours = { style: (format: string, text: string) => `\u001b[${format}m${text}` };
  const disks = [{ mount: '/', fileSystem: '', device: '', totalBytes: 100, usedBytes: 99 }];
  const lines = summary(colours, { ...latest, sample: { ...sample, disks } }, now);
  expect(lines.find((line) => line.startsWith('disk'))).toContain('\u001b[redm99.0 %');
});

test.each<[Partial<LatestView>, string]>([
  [{ status: 'offline', lastSeenAt: undefined, sample: undefined }, 'web-1 has never connected.'],
  [{ status: 'offline', sample: undefined }, 'It is not connected; it was last seen 10s ago.'],
  [
    { status: 'revoked' },
    'It is revoked; it was last seen 10s ago. Its newest sample is of 2030-01-01T00:00:00.000Z (2m ago).',
  ],
  [{ status: 'online' }, 'Its newest sample is of 2030-01-01T00:00:00.000Z (2m ago).'],
  [
    { status: 'maintenance', sample: undefined },
    'It is connected, and has sent none: it has just started, or it is an agent that measures nothing.',
  ],
])('of %j it is said why there is nothing', (change, text) => {
  expect(whyNone({ ...latest, ...change }, now)).toBe(text);
});

test('a clock that is wrong is told of', () => {
  const odd = { ...sample, late: false, skewed: true, dropped: 0, unread: [], takenAt: undefined };
  expect(marks(odd)).toEqual(["skewed: the agent's clock said an impossible time; the time is the server's"]);
  expect(marks({ ...odd, skewed: false })).toEqual([]);
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1.0 KiB'],
  [1_048_575, '1.0 MiB'],
  [123 * 2 ** 30, '123 GiB'],
  [2 ** 64, '16384 PiB'],
])('%d bytes are %s', (bytes, text) => {
  expect(bytesText(bytes)).toBe(text);
});

test('each metric has its unit', () => {
  expect(['cpu', 'disk:/data', 'received', 'sent:eth0', 'load', 'metrics.cpu'].map(unitOf)).toEqual([
    '%',
    '%',
    'B/s',
    'B/s',
    'load',
    '',
  ]);
  expect([
    valueText('load', 15),
    valueText('', 0.126),
    valueText('', -1234.56),
    valueText('%', undefined),
  ]).toEqual(['15.00', '0.13', '-1234.6', '-']);
});

const at = (minute: number) => Date.parse('2030-01-01T10:00:00Z') + minute * 60_000;
const point = (minute: number, average: number) => ({
  at: at(minute),
  average,
  min: average - 1,
  max: average + 1,
  weight: 2,
});
const options = { title: 'load', unit: '' as const, resolution: 60, width: 44, height: 2, unicode: false };

test('a chart has its figures, its edges and its times, and a gap where nothing was measured', () => {
  const points = [point(0, 1), point(1, 1), point(8, 3), point(9, 4)];
  expect(chart(points, { ...options, from: at(0), to: at(10) })).toEqual([
    'load  last 4, average 2.25, min 0, max 5',
    '5 +                                 ********',
    '0 +*********',
    '  +-----------------------------------------',
    '   10:00             10:05         10:10 UTC',
  ]);
});

test('a chart of days has dates, and one that is narrow fewer of them', () => {
  const long = { from: at(0), to: at(0) + 3 * 86_400_000, resolution: 3600 };
  expect(chart([], { ...options, ...long, width: 60 }).at(-1)).toMatch(
    /^ +01-01 10:00 +01-02 22:00 +01-04 10:00 UTC$/,
  );
  expect(
    chart([], { ...options, ...long, width: 20 })
      .at(-1)
      ?.trim(),
  ).toBe('01-01 10:00');
  expect(chart([], { ...options, ...long })[0]).toBe('load  not measured');
});
