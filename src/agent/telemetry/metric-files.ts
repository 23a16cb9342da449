import { constants } from 'node:fs';
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/logger.ts';
import { isMeasure } from '../../protocol/limits.ts';
import { type MetricSource, maximumMetrics, metricPattern } from './metrics.ts';

/**
 * Custom metrics that other programs of this machine write into a folder: files named `*.metrics`, with a line
 * `name value` for each. A file that nobody has written for an hour counts no more, so that a program that died does
 * not seem to report for ever.
 */
export interface MetricFilesDeps {
  folder: string;
  clock: Clock;
  log: Logger;
}

const metricFileSuffix = '.metrics';
const maximumFiles = 64;
const maximumBytes = 64 * 1024;
const staleMs = 3_600_000;

export function createMetricFiles({ folder, clock, log }: MetricFilesDeps): MetricSource {
  /** What was logged last: the same is not said again at each sample. */
  let told = '';
  return async () => {
    const problems: string[] = [];
    const metrics = new Map<string, number>();
    for (const name of await namesIn(folder, problems)) {
      const text = await textOf(join(folder, name), clock.now());
      if (typeof text !== 'string') {
        if (text.problem !== undefined) problems.push(`${name}: ${text.problem}`);
        continue;
      }
      const read = parseMetrics(text);
      problems.push(...read.problems.map((problem) => `${name}: ${problem}`));
      for (const [metric, value] of read.metrics) metrics.set(metric, value);
    }
    const kept = [...metrics].slice(0, maximumMetrics);
    if (kept.length < metrics.size) problems.push(`more than ${maximumMetrics} metrics`);
    const now = problems.slice(0, 10).join('; ');
    if (now !== '' && now !== told) log.warn({ folder, problems: now }, 'some custom metrics are left out');
    told = now;
    return new Map(kept);
  };
}

/** Lines `name value`; empty ones and those that begin with # are passed over. Of a name twice, the last one counts. */
export function parseMetrics(text: string): { metrics: Map<string, number>; problems: string[] } {
  const metrics = new Map<string, number>();
  const problems: string[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const [name = '', value = '', ...more] = line.split(/\s+/);
    const number = value === '' ? Number.NaN : Number(value);
    if (more.length > 0 || !metricPattern.test(name) || !isMeasure(number))
      problems.push(`line ${index + 1} is not a name and a number`);
    else metrics.set(name, number);
  }
  return { metrics, problems };
}

async function namesIn(folder: string, problems: string[]): Promise<string[]> {
  try {
    const names = (await readdir(folder)).filter((name) => name.endsWith(metricFileSuffix)).sort();
    if (names.length > maximumFiles) problems.push(`more than ${maximumFiles} files`);
    return names.slice(0, maximumFiles);
  } catch {
    // The folder is made by whoever has something to say.
    return [];
  }
}

/** The text of a file, or why it does not count. A pipe or a link could hold up the reading, or lead elsewhere. */
async function textOf(file: string, now: number): Promise<string | { problem: string | undefined }> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = await handle.stat();
    if (!facts.isFile()) return { problem: 'is no file' };
    if (facts.size > maximumBytes) return { problem: `is larger than ${maximumBytes} bytes` };
    if (now - facts.mtimeMs > staleMs) return { problem: undefined };
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(maximumBytes), 0, maximumBytes, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'error';
    return { problem: code === 'ENOENT' ? undefined : `cannot be read (${code})` };
  } finally {
    await handle?.close();
  }
}
