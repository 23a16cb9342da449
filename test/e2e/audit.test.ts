import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tamper } from '../support/audit.ts';
import { openTestDatabase } from '../support/postgres.ts';
import { runCli, startSharedCli } from '../support/process.ts';

/** `viworks audit` against a running control plane, and against what it exported. */

let own: Awaited<ReturnType<typeof openTestDatabase>>;
let server: ReturnType<typeof startSharedCli>;

beforeAll(async () => {
  own = await openTestDatabase();
  server = startSharedCli(['start'], {
    VIWORKS_API_PORT: '0',
    VIWORKS_AGENT_PORT: '0',
    DATABASE_URL: own.url,
  });
  await server.process.stdout.match(/Ctrl-C stops/);
}, 120_000);

afterAll(async () => {
  await server?.stop();
  await own?.drop();
}, 120_000);

const cli = (...args: string[]) => runCli(args, { env: { VIWORKS_DATA_DIR: server.dataDir } });

test('list, head, export and verify, on the server and off it', async () => {
  expect((await cli('run', 'exec', '--all', '--', 'true')).code).toBe(0);
  const listed = await cli('audit', 'list', '--action', 'commands', '--since', '1h');
  expect(listed.stdout).toMatch(/operator \(admin\) +commands\.submit +command\/[0-9a-f-]{36} +done/);
  const { stdout } = await cli('audit', 'list', '--resource', 'agent', '--json');
  expect(JSON.parse(stdout).entries).toMatchObject([{ action: 'agents.enroll', outcome: 'done' }]);

  await expect
    .poll(async () => JSON.parse((await cli('audit', 'head', '--json')).stdout).pending, { timeout: 20_000 })
    .toBe(0);
  const head = JSON.parse((await cli('audit', 'head', '--json')).stdout);
  expect(await cli('audit', 'verify')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^intact: /) });

  const file = join(server.dataDir, 'audit.jsonl');
  writeFileSync(file, (await cli('audit', 'export')).stdout);
  const trust = ['--key', head.publicKey, '--head', head.hash];
  expect(await cli('audit', 'verify', file, ...trust)).toMatchObject({ code: 0 });
  expect((await cli('audit', 'verify', file)).stderr).toMatch(/which the export names itself/);
  writeFileSync(file, readFileSync(file, 'utf8').replace('"role":"admin"', '"role":"viewer"'));
  const changed = await cli('audit', 'verify', file, ...trust, '--json');
  expect(changed.code).toBe(1);
  expect(JSON.parse(changed.stdout)).toMatchObject({ intact: false, problem: { kind: 'changed' } });
  expect((await cli('audit', 'verify', join(server.dataDir, 'nothing'))).code).toBe(2);
  expect((await cli('audit', 'verify', '--key', head.publicKey)).code).toBe(2);
  // A hash that was copied in part is no sign that somebody cut something off.
  expect(await cli('audit', 'verify', file, '--head', head.hash.slice(1))).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^error: --head: must be the hash of a block, 64 hex digits/),
  });

  await tamper(own.database, `update audit_entries set actor = 'eve' where seq = 1`);
  expect(await cli('audit', 'verify')).toMatchObject({ code: 1, stdout: 'changed: Entry 1 was changed.\n' });
}, 120_000);
