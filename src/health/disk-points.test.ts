import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { diskPoints } from './disk-points.ts';
import { percentages } from './figures.ts';

const disk = (mount: string, used: number, available?: number) => ({
  mount,
  fileSystem: 'ext4',
  totalBytes: 100n,
  usedBytes: BigInt(used),
  ...(available === undefined ? {} : { availableBytes: BigInt(available) }),
});
const at = (time: number, disks: ReturnType<typeof disk>[], unread: string[] = []) => ({
  at: time,
  sample: create(SampleSchema, { disks, unread }),
});

test('disks are told the fullest first, without room that only root has', () => {
  const { sample } = at(1, [disk('/', 50, 30), disk('/data', 95, 0), disk('/old', 10)]);
  expect(percentages(sample)).toEqual([
    { mount: '/data', percent: 100, freeBytes: 0 },
    { mount: '/', percent: 62.5, freeBytes: 30 },
    { mount: '/old', percent: 10, freeBytes: 90 },
  ]);
});

test('a disk that the newest sample has not is gone, with what was before', () => {
  const samples = [at(1, [disk('/', 10), disk('/old', 90)]), at(2, [disk('/', 11)])];
  expect(diskPoints(samples)).toEqual([
    [
      '/',
      [
        { at: 1, value: 10 },
        { at: 2, value: 11 },
      ],
    ],
  ]);
});

test('a disk that does not answer takes no other one with it, and is still there itself', () => {
  const before = [at(1, [disk('/older', 80)]), at(2, [disk('/', 10), disk('/data', 90)])];
  const silent = [at(3, [disk('/', 11)], ['disks']), at(4, [disk('/', 12)], ['disks'])];
  expect(diskPoints([...before, ...silent]).map(([mount, points]) => [mount, points.length])).toEqual([
    ['/data', 1],
    ['/', 3],
  ]);
  expect(diskPoints([...before, ...silent, at(5, [disk('/', 13)])]).map(([mount]) => mount)).toEqual(['/']);
});

test('what is not newer makes no point', () => {
  const [found] = diskPoints([at(5, [disk('/', 10)]), at(5, [disk('/', 20)]), at(4, [disk('/', 30)])]);
  expect(found).toEqual(['/', [{ at: 5, value: 10 }]]);
});
