import { create, equals, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EnvelopeSchema } from '#gen/viworks/agent/v1/envelope_pb.js';
import { SampleSchema, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { serialisedSamples as samplesOf } from '../../test/support/samples.ts';
import { decodeBinary } from './envelope.ts';
import { hasSeveral } from './unread-telemetry.ts';

const sample = fc.record({
  number: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  disks: fc.array(fc.record({ mount: fc.string({ maxLength: 300 }) }), { maxLength: 80 }),
  metrics: fc.dictionary(fc.string(), fc.double({ noNaN: true })),
});
const samples = fc.array(sample, { maxLength: 20 });

test('each sample of an envelope comes out as it was, read or unread', () => {
  fc.assert(
    fc.property(
      samples,
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
      fc.string(),
      (all, sequence, tracestate) => {
        const value = create(TelemetrySchema, { samples: all });
        const message = create(EnvelopeSchema, { sequence, tracestate, body: { case: 'telemetry', value } });
        const expected = value.samples.map((one) => toBinary(SampleSchema, one));
        expect(samplesOf(value)).toEqual(expected);
        const bytes = toBinary(EnvelopeSchema, message);
        const { body, ...rest } = decodeBinary(bytes);
        expect(rest).toMatchObject({ sequence, tracestate });
        if (body.case !== 'telemetry') throw new Error(`is a ${body.case}`);
        expect(samplesOf(body.value)).toEqual(expected);
        // Written again it is the same.
        const again = fromBinary(
          EnvelopeSchema,
          toBinary(EnvelopeSchema, create(EnvelopeSchema, { ...rest, body })),
        );
        expect(equals(EnvelopeSchema, again, message)).toBe(true);
      },
    ),
  );
});

test('what a newer version says of a sample stays in it', () => {
  const newer = new Uint8Array([0x08, 0x05, 0xf8, 0x06, 0x01]);
  const message = create(TelemetrySchema, { samples: [fromBinary(SampleSchema, newer)] });
  expect(samplesOf(message)).toEqual([newer]);
  const bytes = Buffer.concat([Buffer.from([0x92, 0x01, newer.length + 2, 0x0a, newer.length]), newer]);
  const { body } = decodeBinary(bytes);
  expect(body.case === 'telemetry' && samplesOf(body.value).map((one) => new Uint8Array(one))).toEqual([
    newer,
  ]);
});

test.each([
  ['lengths with more bytes than they need', '9201 8500 0a8200 0805', ['0805']],
  ['another field after it', '920104 0a020805 1003', ['0805']],
  ['two of them', '920104 0a020805 920104 0a020806', ['0805', '0806']],
  ['another body before it', '9a0100 920104 0a020805', ['0805']],
  ['nothing in it', '920100', []],
])('an envelope with %s', (_, hex, expected) => {
  const bytes = Buffer.from(hex.replaceAll(' ', ''), 'hex');
  const { body } = decodeBinary(bytes);
  if (body.case !== 'telemetry') throw new Error(`is a ${body.case}`);
  expect(samplesOf(body.value).map((one) => Buffer.from(one).toString('hex'))).toEqual(expected);
});

test.each(['920105 0a020805', '920104 0a050805', '9201ffffffff0f', '92010a'])(
  'cut or wrong, it is a violation of the protocol: %s',
  (hex) => {
    expect(() => decodeBinary(Buffer.from(hex.replaceAll(' ', ''), 'hex'))).toThrow(
      expect.objectContaining({ code: 'protocol_violation' }),
    );
  },
);

test('of whatever bytes, it finds what the generated code finds', () => {
  const whole = (bytes: Uint8Array) => {
    try {
      return fromBinary(EnvelopeSchema, bytes);
    } catch {
      return undefined;
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 12 }), fc.uint8Array({ maxLength: 20 }), (before, inside) => {
      const bytes = Buffer.concat([before, Buffer.from([0x92, 0x01, inside.length]), inside]);
      const expected = whole(bytes);
      if (expected === undefined) return;
      const { body } = decodeBinary(bytes);
      expect(body.case).toBe(expected.body.case);
      if (body.case === 'telemetry' && expected.body.case === 'telemetry') {
        const { samples } = expected.body.value;
        expect(samplesOf(body.value).map((one) => fromBinary(SampleSchema, one))).toEqual(samples);
        for (const message of [body.value, expected.body.value])
          expect(hasSeveral(message)).toBe(samples.length > 1);
      }
    }),
    { numRuns: 3000 },
  );
});
