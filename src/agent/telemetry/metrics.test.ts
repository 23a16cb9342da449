import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { SampleSchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/logger.ts';
import { problemsOf } from '../../protocol/validation.ts';
import { createCollector } from './collector.ts';
import { createMetricFiles, parseMetrics } from './metric-files.ts';
import { createMetrics } from './metrics.ts';

const clock = systemClock;

async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'viworks-metrics-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test('metrics go out with each sample until they are removed, and what cannot be measured does not', async () => {
  const metrics = createMetrics();
  const collect = createCollector({ clock, log: silentLogger, containers: false, metrics: [metrics.source] });
  metrics.set('queue.depth', 7);
  metrics.measure('answer', () => Promise.resolve(42));
  metrics.measure('broken', () => {
    throw new Error('no sensor');
  });
  metrics.measure('odd', () => Number.NaN);
  expect((await collect()).metrics).toEqual({ 'queue.depth': 7, answer: 42 });
  metrics.set('queue.depth', 8);
  metrics.remove('answer');
  const sample = await collect();
  expect(sample.metrics).toEqual({ 'queue.depth': 8 });
  sample.number = 1n;
  expect(problemsOf(SampleSchema, sample)).toEqual([]);
});

test('a name or a value that cannot travel is refused, and so is one metric too many', () => {
  const metrics = createMetrics();
  expect(() => metrics.set('Queue', 1)).toThrow(/metric Queue: must be 1 to 64/);
  expect(() => metrics.set('queue', Number.POSITIVE_INFINITY)).toThrow(/must be a number from/);
  for (let n = 0; n < 256; n += 1) metrics.set(`m${n}`, n);
  metrics.set('m0', 1);
  expect(() => metrics.set('m256', 1)).toThrow(/there are 256 already/);
});

test('lines of a name and a number are read, others are told', () => {
  const text =
    '# of the shop\norders 12\n\n  orders.open\t3.5 \r\nUpper 1\nalone\nx 1 2\ny NaN\nz 1e3\norders 13\n';
  expect(parseMetrics(text)).toEqual({
    metrics: new Map([
      ['orders', 13],
      ['orders.open', 3.5],
      ['z', 1000],
    ]),
    problems: [5, 6, 7, 8].map((line) => `line ${line} is not a name and a number`),
  });
});

test('the files of a folder count while they are fresh, and nothing in it holds up the reading', async () => {
  const folder = await newFolder();
  const source = createMetricFiles({ folder, clock, log: silentLogger });
  const put = (name: string, text: string) => writeFile(join(folder, name), text);
  expect(await createMetricFiles({ folder: join(folder, 'none'), clock, log: silentLogger })()).toEqual(
    new Map(),
  );
  await put('a.metrics', 'jobs 1\nshared 1\n');
  await put('b.metrics', 'shared 2\n');
  await put('b.metrics.tmp', 'unfinished 1\n');
  await put('large.metrics', `big 1\n${' '.repeat(70_000)}`);
  await put('old.metrics', 'dead 1\n');
  const old = new Date(clock.now() - 3_700_000);
  await utimes(join(folder, 'old.metrics'), old, old);
  execFileSync('mkfifo', [join(folder, 'pipe.metrics')]);
  await symlink('/etc/hostname', join(folder, 'link.metrics'));
  await mkdir(join(folder, 'folder.metrics'));
  expect(await source()).toEqual(
    new Map([
      ['jobs', 1],
      ['shared', 2],
    ]),
  );
});

test('of more metrics than a sample may have, the first ones count', async () => {
  const folder = await newFolder();
  const lines = Array.from({ length: 300 }, (_, n) => `m${n} ${n}`);
  await writeFile(join(folder, 'many.metrics'), lines.join('\n'));
  expect((await createMetricFiles({ folder, clock, log: silentLogger })()).size).toBe(256);
});
