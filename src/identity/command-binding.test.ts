import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { createCommandBinding } from './command-binding.ts';
import { commandSecretBox } from './secret-box.ts';

const secret = new Uint8Array(32).fill(3);
const { bind: bindHex, holds } = createCommandBinding(secret);
const bind = (given: typeof execution) => Buffer.from(bindHex(given), 'hex');
const execution = {
  commandId: '019b7cc1-d588-7000-8000-000000000001',
  actor: 'ada',
  verb: 'exec',
  argsBytes: Uint8Array.of(1, 2, 3),
  timeoutMs: 60_000,
  maxRetries: 2,
  expiresAt: new Date(1_800_000_000_000),
  executionId: '019b7cc1-d588-7000-8000-000000000002',
  agentId: 'web-1',
  incarnation: 1,
  unapproved: false,
};

test('a binding holds for what it was made of, in another process too', () => {
  const binding = bind(execution);
  expect(binding.byteLength).toBe(16);
  expect(holds({ ...execution }, binding)).toBe(true);
  expect(createCommandBinding(secret).holds(execution, binding)).toBe(true);
  expect(createCommandBinding(new Uint8Array(32).fill(4)).holds(execution, binding)).toBe(false);
});

test.each([
  { commandId: '019b7cc1-d588-7000-8000-000000000003' },
  { actor: 'bob' },
  { verb: 'exe' },
  { argsBytes: Uint8Array.of(1, 2, 4) },
  { argsBytes: Uint8Array.of() },
  { argsBytes: new Uint8Array(100_000) },
  { timeoutMs: 60_001 },
  { maxRetries: 3 },
  { expiresAt: new Date(1_800_000_000_001) },
  { executionId: '019b7cc1-d588-7000-8000-000000000003' },
  { agentId: 'web-2' },
  { incarnation: 2 },
  { unapproved: true },
  { actor: 'a'.repeat(100_000) },
  { maxRetries: -1, incarnation: -1 },
  { verb: 'execa', actor: 'da' },
])('no binding holds where %j is another', (change) => {
  expect(holds({ ...execution, ...change }, bind(execution))).toBe(false);
});

test('what is none is none', () => {
  const binding = bind(execution);
  for (const wrong of [null, Uint8Array.of(), binding.subarray(1), Buffer.concat([binding, binding])])
    expect(holds(execution, wrong)).toBe(false);
});

test('it is HMAC-SHA-256', () => {
  const text = (value: string) => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
  const fixed = Buffer.alloc(4 + 4 + 8 + 8 + 4);
  fixed.writeUInt32BE(1, 0);
  fixed.writeUInt32BE(2, 4);
  fixed.writeDoubleBE(60_000, 8);
  fixed.writeDoubleBE(1_800_000_000_000, 16);
  fixed.writeUInt32BE(3, 24);
  const { commandId, executionId, agentId, verb, actor, argsBytes } = execution;
  const input = [Buffer.of(0), ...[commandId, executionId, agentId, verb, actor].map(text), fixed, argsBytes];
  const code = createHmac('sha256', commandSecretBox(secret).keyFor('binding'))
    .update(Buffer.concat(input))
    .digest();
  expect(bind(execution)).toEqual(code.subarray(0, 16));
});
