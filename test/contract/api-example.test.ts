import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { startApi } from '../support/api-server.ts';

test('the example of a backend application submits, watches and prints', async () => {
  await using api = await startApi();
  const env = { ...process.env, VIWORKS_URL: api.url1, VIWORKS_TOKEN: await api.tokenFor('operator') };
  const file = new URL('../../examples/backend-app.ts', import.meta.url).pathname;
  const app = spawn(process.execPath, [file], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => {
    app.once('exit', resolve);
  });
  const printed = text(app.stdout);
  await api.commands.watchersAre(1);
  const client = await api.trpc('viewer');
  const { commands } = await client.commands.list.query();
  const commandId = commands[0]?.commandId ?? '';
  api.commands.advance(commandId, 'succeeded', {
    exitCode: 0,
    signal: undefined,
    stdout: undefined,
    stderr: undefined,
    output: { kernel: '6.12', cpuCores: 8 },
    failure: undefined,
    startedAt: undefined,
    finishedAt: undefined,
  });
  expect(await exited).toBe(0);
  expect(await printed).toBe(`command ${commandId}\nalpha queued \nalpha succeeded 6.12, 8 cores\n`);
});
