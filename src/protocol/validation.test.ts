import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { EnrollRequestSchema } from '#gen/viworks/agent/v1/agent_service_pb.js';
import { HelloOfferSchema, Transport } from '#gen/viworks/agent/v1/handshake_pb.js';
import { ExecArgsSchema } from '#gen/viworks/verbs/v1/system_pb.js';
import { assertValid, problemsOf } from './validation.ts';

const offer = {
  agentId: 'web-1',
  keyId: '0123456789abcdef0123456789abcdef',
  incarnation: 1,
  bootId: new Uint8Array(16),
  protocolVersions: [1],
  transports: [Transport.CONNECT],
  capabilities: ['system'],
  executionCredit: 1,
};
const problemsOfOffer = (change: Partial<typeof offer>) =>
  problemsOf(HelloOfferSchema, create(HelloOfferSchema, { ...offer, ...change }), 'hello.offer.');

test('a message that keeps its rules has no problems', () => {
  expect(problemsOfOffer({})).toEqual([]);
});

test.each([
  [{ agentId: 'Web 1' }, 'hello.offer.agent_id'],
  [{ agentId: '-web' }, 'hello.offer.agent_id'],
  [{ keyId: 'ABC' }, 'hello.offer.key_id'],
  [{ incarnation: 0 }, 'hello.offer.incarnation'],
  [{ bootId: new Uint8Array(15) }, 'hello.offer.boot_id'],
  [{ protocolVersions: [] }, 'hello.offer.protocol_versions'],
  [{ protocolVersions: [1, 1] }, 'hello.offer.protocol_versions'],
  [{ transports: [Transport.UNSPECIFIED] }, 'hello.offer.transports[0]'],
  [{ capabilities: ['system', 'No'] }, 'hello.offer.capabilities[1]'],
  [{ executionCredit: 0 }, 'hello.offer.execution_credit'],
])('%o breaks the rule of %s', (change, field) => {
  expect(problemsOfOffer(change).map((problem) => problem.field)).toEqual([field]);
});

test('every wrong field is named, the first one in the message', () => {
  const request = create(EnrollRequestSchema, { token: '', agentId: 'web-1', publicKey: new Uint8Array(3) });
  expect(() => assertValid(EnrollRequestSchema, request)).toThrow(
    expect.objectContaining({
      code: 'invalid_request',
      message: expect.stringMatching(/^token: /),
      fields: [
        expect.objectContaining({ field: 'token' }),
        expect.objectContaining({ field: 'public_key' }),
        expect.objectContaining({ field: 'signature' }),
      ],
    }),
  );
});

test('the code is the caller’s choice', () => {
  const request = create(EnrollRequestSchema);
  expect(() => assertValid(EnrollRequestSchema, request, 'protocol_violation')).toThrow(
    expect.objectContaining({ code: 'protocol_violation' }),
  );
});

test('a rule of its own has a message of its own', () => {
  const args = create(ExecArgsSchema, { argv: [''] });
  expect(problemsOf(ExecArgsSchema, args, 'args.')).toEqual([
    { field: 'args.argv', problem: 'the first item must name a program' },
  ]);
});

test('every pattern of the proto files begins at the beginning, and takes no time for long texts', async () => {
  const folder = join(import.meta.dirname, '../../proto');
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.proto'));
  const texts = await Promise.all(files.map((name) => readFile(join(folder, name), 'utf8')));
  const patterns = texts.flatMap((text) => [...text.matchAll(/pattern: ("(?:[^"\\]|\\.)*")/g)]);
  expect(patterns.length).toBeGreaterThan(20);
  for (const [, literal = ''] of patterns) {
    const pattern: string = JSON.parse(literal);
    expect(pattern).toMatch(/^\^/);
    const compiled = new RegExp(pattern, 'u');
    const before = performance.now();
    for (const part of ['a', '/', '/a:', 'a_.-', '1', '[::1]:', '0-'])
      compiled.test(`${part.repeat(1_000_000 / part.length)}\n`);
    expect(performance.now() - before).toBeLessThan(500);
  }
});

test('a long text is judged in no time', () => {
  const before = performance.now();
  for (let n = 0; n < 20; n++) {
    const offer = create(HelloOfferSchema, { agentId: 'a'.repeat(1_000_000) });
    expect(problemsOf(HelloOfferSchema, offer).map(({ field }) => field)).toContain('agent_id');
  }
  expect(performance.now() - before).toBeLessThan(1000);
});
