import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/logger.ts';
import { problemsOf } from '../../protocol/validation.ts';
import { deviceOf, parseDisks, parseMounts, parseNetworks } from '../host.ts';
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

test('only local file systems count, each device once, with its shortest path', () => {
  const text = [
    'proc /proc proc rw 0 0',
    '/dev/sda1 /var/lib/data ext4 rw 0 0',
    '/dev/sda1 / ext4 rw 0 0',
    '/dev/sdb1 /mnt/with\\040space xfs rw 0 0',
    '/dev/loop3 /snap/core squashfs ro 0 0',
    'server:/share /net nfs4 rw 0 0',
    'tmpfs /run tmpfs rw 0 0',
  ].join('\n');
  expect(parseMounts(text)).toEqual([
    { mount: '/', type: 'ext4' },
    { mount: '/mnt/with space', type: 'xfs' },
  ]);
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

test('a disk has the counters of its line, by the number of its device', () => {
  const text = ` 254       1 vda1 3942533 334193 145230914 4439490 18502252 2490812 979317400 5787625 0 1464712 11038872`;
  expect(parseDisks(text)).toEqual(
    new Map([
      [
        '254:1',
        {
          name: 'vda1',
          counters: {
            reads: 3942533,
            readBytes: 145230914 * 512,
            writes: 18502252,
            writtenBytes: 979317400 * 512,
            busyMs: 1464712,
          },
        },
      ],
    ]),
  );
  expect(parseDisks('nonsense')).toEqual(new Map());
  expect([deviceOf(0x801), deviceOf(0xfe00), deviceOf(0x1234_5678)]).toEqual(['8:1', '254:0', '1110:74616']);
});
