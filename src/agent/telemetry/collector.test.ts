import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/logger.ts';
import { problemsOf } from '../../protocol/validation.ts';
import { parseNetworks } from '../host.ts';
import { busyPercent, createCollector } from './collector.ts';

test('a sample of this machine is complete and valid', async () => {
  const collect = createCollector({ clock: systemClock, log: silentLogger, containers: false });
  const sample = await collect();
  sample.number = 1n;
  expect(problemsOf(SampleSchema, sample)).toEqual([]);
  expect(sample.cpu?.cores).toBeGreaterThan(0);
  expect(sample.memory?.totalBytes).toBeGreaterThan(sample.memory?.usedBytes ?? 0n);
  expect(sample.uptime).toBeDefined();
});

test('rates are those between two samples: the first one has none', async () => {
  let at = 0;
  const clock = { now: systemClock.now, monotonic: () => at };
  const collect = createCollector({ clock, log: silentLogger, containers: false });
  const first = await collect();
  at += 30_000;
  const second = await collect();
  expect(first.disks.length).toBeGreaterThan(0);
  for (const disk of first.disks) expect(disk.busyPercent).toBeUndefined();
  for (const network of first.networks) expect(network.receivedBytesPerSecond).toBeUndefined();
  for (const disk of second.disks)
    if (disk.device !== '') expect(disk.readBytesPerSecond).toBeGreaterThanOrEqual(0);
  for (const network of second.networks)
    if (first.networks.some((other) => other.interface === network.interface))
      expect(network.sentBytesPerSecond).toBeGreaterThanOrEqual(0);
  second.number = 2n;
  expect(problemsOf(SampleSchema, second)).toEqual([]);
});

test('an engine that is not there leaves the list of containers empty', async () => {
  const collect = createCollector({
    clock: systemClock,
    log: silentLogger,
    containers: true,
    path: '/nowhere',
  });
  expect((await collect()).containers).toEqual([]);
});

test('the busy share is of the time between two readings', () => {
  const at = (busy: number, total: number) => ({ busy, total, cores: 2 });
  expect(busyPercent(at(10, 100), at(35, 200))).toBe(25);
  expect(busyPercent(at(10, 100), at(10, 100))).toBe(0);
});

test('the counters of every interface but the loopback are read', () => {
  const text = `Inter-|   Receive                    |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo:    3193      32    0    0    0     0          0         0     3193      32    0    0    0     0
  eth0: 984113191  900    1    2    0     0          0         0  1773240    800    3    4    0     0`;
  expect(parseNetworks(text)).toEqual([
    { interface: 'eth0', receivedBytes: 984113191, sentBytes: 1773240, errors: 4, drops: 6 },
  ]);
});
