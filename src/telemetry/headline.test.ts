import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  type DiskSampleSchema,
  type NetworkSampleSchema,
  SampleSchema,
} from '#gen/viworks/agent/v1/telemetry_pb.js';
import { metricsOf, ratesOf, trafficOf } from './headline.ts';

type Disks = MessageInitShape<typeof DiskSampleSchema>[];

const none = { received: null, sent: null };
const diskOf = (disks: Disks) => metricsOf(create(SampleSchema, { disks }), none).disk;
const fill = { mount: '/', fileSystem: 'ext4', totalBytes: 100n };

test.each<[what: string, disks: Disks, percent: number | null]>([
  [
    'the fullest counts',
    [
      { ...fill, usedBytes: 20n },
      { ...fill, usedBytes: 60n },
    ],
    60,
  ],
  ['blocks that only root may use are no room', [{ ...fill, usedBytes: 95n, availableBytes: 0n }], 100],
  [
    'images are always full',
    [
      { ...fill, usedBytes: 40n },
      { mount: '/snap', fileSystem: 'squashfs', totalBytes: 9n, usedBytes: 9n },
    ],
    40,
  ],
  [
    'images alone are nothing',
    [{ mount: '/cd', fileSystem: 'iso9660', totalBytes: 9n, usedBytes: 9n }],
    null,
  ],
  ['nothing is nothing', [], null],
])('of disks %s', (_what, disks, percent) => {
  expect(diskOf(disks)).toBe(percent);
});

const counted = (number: number, networks: MessageInitShape<typeof NetworkSampleSchema>[] = []) =>
  trafficOf(create(SampleSchema, { number: BigInt(number), networks }), 'boot', number * 1000);
const eth0 = (receivedBytes: bigint) => ({ interface: 'eth0', receivedBytes, sentBytes: receivedBytes });

test('after a sample whose interfaces could not be read rates are not known, and not 0', () => {
  expect(ratesOf(counted(2, [eth0(700n)]), counted(1, [eth0(200n)]))).toEqual({ received: 500, sent: 500 });
  expect(ratesOf(counted(2, [eth0(700n)]), counted(1))).toEqual(none);
  expect(ratesOf(counted(2, [eth0(700n)]), counted(1, [{ ...eth0(0n), interface: 'eth1' }]))).toEqual(none);
});
