import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { controlOperations, operations } from '../../src/api/authorize.ts';
import { telemetryMetrics } from '../../src/storage/telemetry-metrics.ts';
import { partReader } from '../../src/telemetry/parts.ts';
import { resolutions } from '../../src/telemetry/resolution.ts';
import { startApiApp } from '../support/api-app.ts';
import { storedSample } from '../support/api-telemetry.ts';

/** docs/telemetry.md says what there is, and its example runs as it stands there. */

const guide = readFileSync(new URL('../../docs/telemetry.md', import.meta.url), 'utf8');

/** Text in code marks in a column of the table under a heading. */
function named(heading: string, column: number): string[] {
  const [, section = ''] = guide.split(`## ${heading}\n`);
  const rows = section.split('\n## ')[0]?.match(/^\|.*$/gm) ?? [];
  return rows.flatMap((row) =>
    Array.from(row.split('|')[column]?.matchAll(/`([^`]+)`/g) ?? [], ([, name = '']) => name),
  );
}

test('the guide names every metric, and none that is not there', () => {
  const metrics = named('Metrics', 1);
  const columns = metrics.filter((name) => telemetryMetrics.some((known) => known === name));
  expect(new Set(columns)).toEqual(new Set(telemetryMetrics));
  const parts = metrics
    .filter((name) => /[:.]/.test(name))
    .map((name) => name.replace('metrics.NAME', 'metrics.x'));
  expect(parts).toHaveLength(4);
  for (const part of parts) expect(partReader(part)).toBeDefined();
});

test('the guide names operations as they are', () => {
  const [calls, methods] = [named('From an application', 1), named('From an application', 2)];
  expect(calls.length).toBeGreaterThanOrEqual(5);
  const pairs = methods.map((method) =>
    controlOperations.get(method.charAt(0).toLowerCase() + method.slice(1)),
  );
  expect(pairs).toEqual(calls);
  for (const call of calls) expect(operations.has(call)).toBe(true);
  for (const seconds of resolutions) expect(guide).toContain(`| ${seconds} s |`);
});

test('the example of the guide runs as it stands there', async () => {
  const app = await startApiApp();
  onTestFinished(() => app.stop());
  await app.addAgents('berlin', 'web-1', 'web-2');
  await app.query(
    'test_sample',
    `insert into telemetry_samples (agent_id, at, boot_id, number, received_at, late, skewed, cpu, sample)
     values ('web-1', now(), $1, 1, now(), false, false, 25, $2)`,
    [Buffer.from(storedSample.bootId), Buffer.from(storedSample.sample)],
  );
  const code = /\n```ts\n([\s\S]*?)\n```\n/.exec(guide)?.[1] ?? '';
  const folder = mkdtempSync(join(tmpdir(), 'viworks-doc-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'example.mts');
  writeFileSync(file, code.replace("'@trpc/client'", `'${import.meta.resolve('@trpc/client')}'`));
  const env = {
    PATH: process.env.PATH ?? '',
    VIWORKS_URL: app.url,
    VIWORKS_TOKEN: await app.tokenFor('viewer'),
  };
  const { stdout } = await promisify(execFile)(process.execPath, [file], { env });
  const lines = stdout.trim().split('\n');
  expect(lines).toHaveLength(3);
  expect(lines.slice(0, 2)).toEqual([
    expect.stringMatching(/^web-1 offline /),
    expect.stringMatching(/^web-2 offline no sample/),
  ]);
  // What is not measured is undefined, of what is there are figures.
  expect(lines[2]).toMatch(/^20.*Z 25 25 undefined$/);
});
