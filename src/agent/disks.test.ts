import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { percentOfDisk } from '../protocol/disks.ts';
import {
  createFileSystemReader,
  deviceNumber,
  diskOf,
  type FileSystem,
  parseDisks,
  parseMounts,
  readFileSystems,
} from './disks.ts';

test('only local file systems count, each device once, with its shortest path', () => {
  const text = [
    'proc /proc proc rw 0 0',
    'rootfs / rootfs rw 0 0',
    '/dev/sda1 /var/lib/data ext4 rw 0 0',
    '/dev/sda1 / ext4 rw 0 0',
    '/dev/sdb1 /mnt/with\\040space xfs rw 0 0',
    '/dev/loop3 /snap/core squashfs ro 0 0',
    '/dev/sdc1 /hidden ext4 rw 0 0',
    '/dev/sdd1 /hidden ext4 rw 0 0',
    'server:/share /net nfs4 rw 0 0',
    'tmpfs /run tmpfs rw 0 0',
  ].join('\n');
  expect(parseMounts(text)).toEqual([
    { mount: '/', type: 'ext4', source: '/dev/sda1' },
    { mount: '/mnt/with space', type: 'xfs', source: '/dev/sdb1' },
    { mount: '/hidden', type: 'ext4', source: '/dev/sdd1' },
  ]);
  expect(parseMounts('shared / virtiofs rw 0 0')).toEqual([
    { mount: '/', type: 'virtiofs', source: 'shared' },
  ]);
});

const lines = ` 254       0 vda 1 0 2 0 3 0 4 0 0 5 0
 254       1 vda1 3942533 334193 145230914 4439490 18502252 2490812 979317400 5787625 0 1464712 11038872
 nonsense`;

test('a disk has the counters of its line', () => {
  expect(parseDisks(lines)).toEqual([
    {
      number: '254:0',
      name: 'vda',
      counters: { reads: 1, readBytes: 1024, writes: 3, writtenBytes: 2048, busyMs: 5 },
    },
    {
      number: '254:1',
      name: 'vda1',
      counters: {
        reads: 3942533,
        readBytes: 145230914 * 512,
        writes: 18502252,
        writtenBytes: 979317400 * 512,
        busyMs: 1464712,
      },
    },
  ]);
});

test('a file system is of the disk with its number, or else with its name', () => {
  expect([0x801, 0xfe00, 0x1234_5678].map(deviceNumber)).toEqual(['8:1', '254:0', '1110:74616']);
  const on = (number: string, name: string) =>
    diskOf({ device: { number, name } } as FileSystem, parseDisks(lines))?.name;
  expect([on('254:1', ''), on('0:41', 'vda'), on('0:41', '')]).toEqual(['vda1', 'vda', undefined]);
});

test('a file system that does not answer is left out, and not asked again until it has', async () => {
  const [known] = await readFileSystems();
  if (known === undefined) throw new Error('this machine has no file system');
  const answer = Promise.withResolvers<FileSystem>();
  let asked = 0;
  const read = createFileSystemReader(({ mount }) => {
    if (mount !== known.mount) return Promise.resolve(undefined);
    asked += 1;
    return asked === 1 ? answer.promise : Promise.resolve(known);
  });
  expect(await read()).toEqual({ systems: [], silent: [known.mount] });
  expect(await read()).toEqual({ systems: [], silent: [known.mount] });
  expect(asked).toBe(1);
  answer.resolve(known);
  await answer.promise;
  await new Promise((resolve) => setImmediate(resolve));
  expect(await read()).toEqual({ systems: [known], silent: [] });
});

test('a file system that fails is not taken for one that is gone', async () => {
  const mounts = (await readFileSystems()).map(({ mount }) => mount);
  const read = createFileSystemReader(() => Promise.reject(new Error('EIO: i/o error, statfs')));
  const { systems, silent } = await read();
  expect(systems).toEqual([]);
  expect(silent).toEqual(expect.arrayContaining(mounts));
  // It is asked again: it did answer.
  expect((await read()).silent).toEqual(silent);
});

test('each disk of this machine is as full as df says', async () => {
  const systems = await readFileSystems();
  expect(systems.length).toBeGreaterThan(0);
  const mounts = systems.map(({ mount }) => mount);
  const { stdout } = await promisify(execFile)('df', ['--output=pcent', ...mounts]);
  const told = stdout.trim().split('\n').slice(1).map(Number.parseFloat);
  expect(told).toHaveLength(systems.length);
  // It rounds up, and something may be written in between.
  for (const [index, system] of systems.entries())
    expect(Math.abs((percentOfDisk(system) ?? 0) - (told[index] ?? Number.NaN))).toBeLessThan(2);
});
