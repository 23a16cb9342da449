import { create } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { createPair, frame, numbered, tick } from '../../../test/support/sealed-pair.ts';
import { ViworksError } from '../../errors.ts';
import { encodeBinary } from '../envelope.ts';
import { wireLimits } from '../limits.ts';
import { sealedEnvelopeBytes } from './connection.ts';

test('envelopes of one tick share a frame, and come in their order', async () => {
  const { agent, server, pass } = await createPair();
  for (let n = 1; n <= 5; n += 1) agent.connection.send(numbered(n));
  expect(agent.connection.bufferedBytes).toBeGreaterThan(0);
  await tick();
  expect(agent.wire).toHaveLength(1);
  expect(agent.connection.bufferedBytes).toBe(0);
  pass('agent');
  expect(server.heard).toEqual([1n, 2n, 3n, 4n, 5n]);
});

test('the same content is never the same on the wire', async () => {
  const { agent, server } = await createPair();
  const texts = new Set<string>();
  for (let n = 0; n < 50; n += 1) {
    for (const end of [agent, server]) {
      end.connection.send(numbered(1));
      await tick();
    }
  }
  for (const message of [...agent.wire, ...server.wire]) {
    texts.add(Buffer.from(frame(message).ciphertext).toString('hex'));
  }
  expect(texts.size).toBe(100);
});

test('an envelope is as large as it may be, and no larger', async () => {
  const { agent, server, pass } = await createPair();
  const filled = (bytes: number) => {
    const samples = [{ number: 1n, metrics: { ['x'.repeat(bytes)]: 1 } }];
    return create(EnvelopeSchema, {
      sequence: 1n,
      body: { case: 'telemetry', value: create(TelemetrySchema, { samples }) },
    });
  };
  const largest = sealedEnvelopeBytes('binary');
  const overhead = encodeBinary(filled(largest - 100)).byteLength - (largest - 100);
  agent.connection.send(filled(largest - overhead));
  expect(() => agent.connection.send(filled(largest - overhead + 1))).toThrow(
    expect.objectContaining({ code: 'message_too_large' }),
  );
  await tick();
  expect(encodeBinary(agent.wire[0] as Envelope).byteLength).toBeLessThanOrEqual(wireLimits.messageBytes);
  pass('agent');
  expect(server.heard).toEqual([1n]);
});

test('a paused owner gets nothing, and what is held when it goes on', async () => {
  const { agent, server, pass } = await createPair();
  for (let n = 1; n <= 3; n += 1) agent.connection.send(numbered(n));
  await tick();
  server.connection.pause();
  pass('agent');
  expect(server.heard).toEqual([]);
  agent.connection.send(numbered(4));
  await tick();
  pass('agent');
  server.connection.resume();
  expect(server.heard).toEqual([1n, 2n, 3n, 4n]);
});

test('what was said before the end still leaves; the transport learns the code and no more', async () => {
  const { agent, server } = await createPair();
  server.connection.send(numbered(1));
  server.connection.close(new ViworksError('superseded', 'Something about agent web-1.'));
  server.connection.send(numbered(2));
  await tick();
  expect(server.wire).toHaveLength(1);
  expect(server.closed).toMatchObject([{ code: 'superseded', message: 'The session has ended.' }]);
  agent.connection.receive(server.wire[0] as Envelope);
  expect(agent.heard).toEqual([1n]);
});

test.each<[string, (frames: Envelope[]) => Envelope | undefined]>([
  ['one left out', (frames) => frames[1]],
  ['an open envelope', () => numbered(1)],
  ['another counter', ([first]) => changed(first, { counter: 2n })],
  ['another generation', ([first]) => changed(first, { keyGeneration: 1 })],
  ['a generation far ahead', ([first]) => changed(first, { keyGeneration: 0xffff_ffff })],
  ['nothing in it', ([first]) => changed(first, { ciphertext: new Uint8Array(0) })],
  [
    'the tag alone',
    ([first]) => changed(first, { ciphertext: frame(first as Envelope).ciphertext.slice(-16) }),
  ],
])('%s ends the session', async (_, choose) => {
  const { agent, server } = await createPair();
  for (const n of [1, 2]) {
    agent.connection.send(numbered(n));
    await tick();
  }
  expect(() => server.connection.receive(choose(agent.wire) as Envelope)).toThrow(ViworksError);
  expect(server.heard).toEqual([]);
});

test('a frame is taken once', async () => {
  const { agent, server, pass } = await createPair();
  agent.connection.send(numbered(1));
  await tick();
  const again = agent.wire[0] as Envelope;
  pass('agent');
  expect(() => server.connection.receive(again)).toThrow(expect.objectContaining({ code: 'seal_broken' }));
  expect(server.heard).toEqual([1n]);
});

test('a frame is nothing to another session, nor to the one who sent it', async () => {
  const [one, two] = [await createPair(), await createPair()];
  one.agent.connection.send(numbered(1));
  await tick();
  const [sent] = one.agent.wire as [Envelope];
  expect(() => two.server.connection.receive(sent)).toThrow(expect.objectContaining({ code: 'seal_broken' }));
  // Its own next frame inwards is the second: WELCOME was the first.
  expect(() => one.agent.connection.receive(changed(sent, { counter: 2n }))).toThrow(
    expect.objectContaining({ code: 'seal_broken' }),
  );
});

test('no bit of a frame may be changed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.integer({ min: 0, max: 7 }), async (at, bit) => {
      const { agent, server } = await createPair();
      agent.connection.send(numbered(1));
      await tick();
      const sent = agent.wire[0] as Envelope;
      const bytes = frame(sent).ciphertext.slice();
      const index = at % bytes.length;
      bytes[index] = (bytes[index] ?? 0) ^ (1 << bit);
      expect(() => server.connection.receive(changed(sent, { ciphertext: bytes }))).toThrow(
        expect.objectContaining({ code: 'seal_broken' }),
      );
    }),
    { numRuns: 60 },
  );
});

test('any bytes at all in place of a frame are refused in order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        counter: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        ciphertext: fc.uint8Array({ maxLength: 200 }),
        keyGeneration: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
      }),
      async (garbage) => {
        const { agent, server } = await createPair();
        agent.connection.send(numbered(1));
        await tick();
        expect(() => server.connection.receive(changed(agent.wire[0], garbage))).toThrow(ViworksError);
        expect(server.heard).toEqual([]);
      },
    ),
    { numRuns: 100 },
  );
});

function changed(message: Envelope | undefined, part: Partial<ReturnType<typeof frame>>): Envelope {
  const { counter, ciphertext, keyGeneration } = frame(message as Envelope);
  const value = { counter, ciphertext, keyGeneration, ...part };
  return create(EnvelopeSchema, { body: { case: 'sealed', value } });
}
