import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SealedContentSchema } from '#gen/viworks/agent/v1/sealing_pb.js';
import { numbered } from '../../../test/support/sealed-pair.ts';
import { encodeBinary } from '../envelope.ts';
import { envelopesOfFrame, readContent, writeContent } from './content.ts';

test('content is written as the generated code writes it, and read back', () => {
  const parts = fc.array(fc.nat(), { maxLength: 20 });
  fc.assert(
    fc.property(parts, fc.option(fc.uint8Array({ minLength: 32, maxLength: 32 })), (sequences, key) => {
      const envelopes = sequences.map(numbered);
      const bytes = writeContent(envelopes.map(encodeBinary), key ?? undefined);
      const generated = create(SealedContentSchema, {
        envelopes,
        ...(key === null ? {} : { ephemeralKey: key }),
      });
      expect(new Uint8Array(bytes)).toEqual(toBinary(SealedContentSchema, generated));
      const read = readContent(bytes);
      expect(read.envelopes).toEqual(fromBinary(SealedContentSchema, bytes).envelopes);
      expect(read.ephemeralKey && new Uint8Array(read.ephemeralKey)).toEqual(key ?? undefined);
    }),
  );
});

test('content that is none is refused in order, and so is too much of it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        readContent(bytes);
      } catch (error) {
        expect(error).toMatchObject({ code: 'protocol_violation' });
      }
    }),
    { numRuns: 500 },
  );
  const none = Array.from({ length: envelopesOfFrame }, () => new Uint8Array(0));
  expect(readContent(writeContent(none, undefined)).envelopes).toHaveLength(envelopesOfFrame);
  expect(() => readContent(writeContent([...none, new Uint8Array(0)], undefined))).toThrow(
    expect.objectContaining({ code: 'protocol_violation' }),
  );
});
