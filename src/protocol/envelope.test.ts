import { create, equals, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Envelope, EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import {
  acknowledgement,
  decodeBinary,
  decodeJson,
  encodeBinary,
  encodeJson,
  envelope,
  timestampMs,
} from './envelope.ts';
import { wireLimits } from './limits.ts';

const uint64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const uint32 = fc.nat({ max: 2 ** 32 - 1 });
// Of the years 1 to 9999, which is what JSON can say.
const seconds = fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n });
const bytes = fc.uint8Array({ maxLength: 64 });
const text = fc.string({ unit: 'grapheme', maxLength: 40 });

const body: fc.Arbitrary<Parameters<typeof envelope>[0]> = fc.oneof(
  fc.record({ case: fc.constant('hello' as const), value: fc.record({ offer: bytes }) }),
  fc.record({
    case: fc.constant('command' as const),
    value: fc.record({ body: bytes, signatures: fc.array(fc.record({ keyId: text, value: bytes })) }),
  }),
  fc.record({
    case: fc.constant('result' as const),
    value: fc.record({
      executionId: fc.uuid(),
      attempt: uint32,
      exitCode: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
      outcome: fc.nat({ max: 6 }),
      signal: text,
      stdout: fc.record({ data: bytes, totalBytes: uint64, truncated: fc.boolean(), offset: uint64 }),
      output: bytes,
      outputEncoding: fc.nat({ max: 2 }),
      startedAt: fc.record({
        seconds,
        nanos: fc.nat({ max: 999_999_999 }),
      }),
    }),
  }),
  fc.record({
    case: fc.constant('result' as const),
    value: fc.record({
      executionId: fc.uuid(),
      attempt: uint32,
      stderr: fc.record({ data: bytes }),
      failure: fc.record({ code: text, message: text }),
      finishedAt: fc.record({ seconds, nanos: fc.nat({ max: 999_999_999 }) }),
    }),
  }),
  fc.record({ case: fc.constant('heartbeat' as const), value: fc.record({ running: uint32 }) }),
  fc.record({
    case: fc.constant('error' as const),
    value: fc.record({ code: text, message: text, fatal: fc.boolean(), sequence: uint64 }),
  }),
);

const envelopes: fc.Arbitrary<Envelope> = fc
  .record({ body, sequence: uint64, acknowledged: uint64, now: fc.nat({ max: 4_102_444_800_000 }) })
  .map(({ body, sequence, acknowledged, now }) => {
    const message = envelope(body, now);
    message.sequence = sequence;
    message.acknowledged = acknowledged;
    return message;
  });

test('an envelope is written byte for byte as the generated code writes it', () => {
  fc.assert(
    fc.property(envelopes, text, text, (message, traceparent, tracestate) => {
      Object.assign(message, { traceparent, tracestate });
      expect(encodeBinary(message)).toEqual(toBinary(EnvelopeSchema, message));
    }),
  );
  expect(encodeBinary(create(EnvelopeSchema))).toEqual(new Uint8Array());
});

test('an envelope that cannot be written leaves nothing behind in the next one', () => {
  const good = acknowledgement(7n);
  const bad = create(EnvelopeSchema, { messageId: new Uint8Array([1]), traceparent: 'x' });
  Object.assign(bad, { sequence: -1n });
  expect(() => encodeBinary(bad)).toThrow();
  expect(encodeBinary(good)).toEqual(toBinary(EnvelopeSchema, good));
});

test('an envelope comes out of both forms as it went in', () => {
  fc.assert(
    fc.property(envelopes, (message) => {
      // With samples read, where there are any.
      const binary = fromBinary(EnvelopeSchema, encodeBinary(decodeBinary(encodeBinary(message))));
      expect(equals(EnvelopeSchema, binary, message)).toBe(true);
      expect(equals(EnvelopeSchema, decodeJson(encodeJson(message)), message)).toBe(true);
    }),
  );
});

test('whatever comes in is an envelope or a violation of the protocol', () => {
  const allowed = (read: () => unknown) => {
    try {
      read();
    } catch (error) {
      expect(error).toMatchObject({ code: 'protocol_violation' });
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), text, (noise, words) => {
      allowed(() => decodeBinary(noise));
      allowed(() => decodeJson(words));
      allowed(() => decodeJson(JSON.stringify({ [words]: words })));
    }),
  );
});

test('a body of a newer kind reads as an acknowledgement, in both forms', () => {
  const newer = Buffer.concat([
    toBinary(EnvelopeSchema, create(EnvelopeSchema, { sequence: 3n, acknowledged: 7n })),
    // Field 200, a message of two bytes.
    Buffer.from('c20c020801', 'hex'),
  ]);
  expect(decodeBinary(newer)).toMatchObject({ sequence: 3n, acknowledged: 7n, body: { case: undefined } });
  expect(decodeJson('{"acknowledged":"7","newKind":{"a":1}}')).toMatchObject({
    acknowledged: 7n,
    body: { case: undefined },
  });
});

test('the size limit holds on both ways and in both forms', () => {
  const large = envelope({ case: 'hello', value: { offer: new Uint8Array(wireLimits.messageBytes) } }, 0);
  const tooLarge = expect.objectContaining({ code: 'message_too_large' });
  expect(() => encodeBinary(large)).toThrow(tooLarge);
  expect(() => encodeJson(large)).toThrow(tooLarge);
  expect(() => decodeBinary(new Uint8Array(wireLimits.messageBytes + 1))).toThrow(tooLarge);
  expect(() => decodeJson(' '.repeat(wireLimits.messageBytes + 1))).toThrow(tooLarge);
});

test('a new envelope has an id of version 7 and the time; an acknowledgement has neither', () => {
  const message = envelope({ case: 'heartbeat', value: {} }, 1_700_000_000_123);
  expect(message.messageId).toHaveLength(16);
  expect((message.messageId[6] ?? 0) >> 4).toBe(7);
  expect(timestampMs(message.sentAt)).toBe(1_700_000_000_123);
  expect(timestampMs(undefined)).toBeUndefined();
  expect(acknowledgement(9n)).toEqual(create(EnvelopeSchema, { acknowledged: 9n }));
});
