import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, onTestFinished, test } from 'vitest';
import { send } from '../../src/alerts/notifier/send.ts';
import { newSecret, secretKey, signedHeaders } from '../../src/alerts/notifier/signature.ts';

/** The receivers of docs/alerts.md, run as they stand there. */

const guide = readFileSync(new URL('../../docs/alerts.md', import.meta.url), 'utf8');

function codeOf(language: string): string {
  const code = new RegExp(`\n\`\`\`${language}\n([\\s\\S]*?)\n\`\`\`\n`).exec(guide)?.[1];
  if (code === undefined) throw new Error(`no ${language} in the guide`);
  return code;
}

/** Starts a program that says where it listens; answers with its port and its further lines. */
async function started(program: string, file: string, code: string, secret: string) {
  const folder = mkdtempSync(join(tmpdir(), 'viworks-hook-'));
  const path = join(folder, file);
  writeFileSync(path, code);
  const child: ChildProcess = spawn(program, [path], {
    env: { PATH: process.env.PATH ?? '', WEBHOOK_SECRET: secret, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    const ended = new Promise((done) => child.once('exit', done));
    child.kill();
    await ended;
    rmSync(folder, { recursive: true });
  });
  if (child.stdout === null) throw new Error('no output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => String((await lines.next()).value);
  let first = '';
  while (!/port['"]?: (\d+)/.test(first)) first += await line();
  return { url: `http://127.0.0.1:${/port['"]?: (\d+)/.exec(first)?.[1]}/`, line };
}

test.each([
  ['ts', process.execPath, 'hook.mts'],
  ['python', 'python3', 'hook.py'],
])('the receiver in %s takes what is signed, and nothing else', async (language, program, file) => {
  const secret = newSecret();
  const key = secretKey(secret);
  const other = secretKey(newSecret());
  if (key === undefined || other === undefined) throw new Error('no key');
  const { url, line } = await started(program, file, codeOf(language), secret);
  const body = JSON.stringify({ summary: 'Ein Schrank brennt — wirklich' });
  const now = Date.now();
  const statusOf = async (headers: Record<string, string>, text: string) =>
    (await send(url, headers, text)).status;
  expect(await statusOf(signedHeaders(key, 'a', now, body), body)).toBe(204);
  expect(await line()).toBe('Ein Schrank brennt — wirklich');
  expect(await statusOf(signedHeaders(other, 'a', now, body), body)).toBe(401);
  expect(await statusOf(signedHeaders(key, 'a', now, body), body.replace('Ein', 'Kein'))).toBe(401);
  expect(await statusOf({ ...signedHeaders(key, 'a', now, body), 'webhook-id': 'b' }, body)).toBe(401);
  expect(await statusOf(signedHeaders(key, 'a', now - 600_000, body), body)).toBe(401);
  expect(await statusOf({}, body)).toBe(401);
});
