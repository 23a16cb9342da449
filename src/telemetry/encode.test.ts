import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SampleSchema, TelemetrySchema } from '#gen/viworks/agent/v1/telemetry_pb.js';
import { encodeSamples } from './encode.ts';

test('each sample is what it would be alone, of whatever length, and with what a newer version says', () => {
  const sample = fc.record({
    number: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    disks: fc.array(fc.record({ mount: fc.string({ maxLength: 300 }) }), { maxLength: 80 }),
    metrics: fc.dictionary(fc.string(), fc.double()),
  });
  fc.assert(
    fc.property(fc.array(sample, { maxLength: 20 }), (samples) => {
      const message = create(TelemetrySchema, { samples });
      // An unknown field, number 99, on the envelope.
      message.$unknown = [{ no: 99, wireType: 0, data: new Uint8Array([1]) }];
      const alone = message.samples.map((one) => toBinary(SampleSchema, one));
      expect(encodeSamples(message)).toEqual(alone);
    }),
  );
  const newer = fromBinary(SampleSchema, new Uint8Array([0x08, 0x05, 0xf8, 0x06, 0x01]));
  const message = create(TelemetrySchema, { samples: [newer] });
  expect(encodeSamples(message)).toEqual([toBinary(SampleSchema, newer)]);
});
