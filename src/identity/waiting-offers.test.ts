import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HelloOfferSchema } from '#gen/viworks/agent/v1/handshake_pb.js';
import { createWaitingOffers, withoutAccount } from './waiting-offers.ts';

test('room is given back once, and nobody takes more than there is', () => {
  const offers = createWaitingOffers(100);
  const releases = [offers.hold(60), offers.hold(40)];
  expect(() => offers.hold(1)).toThrow(expect.objectContaining({ code: 'unavailable', retryAfterMs: 1000 }));
  for (let n = 0; n < 3; n++) releases[0]?.();
  offers.hold(60);
  expect(() => offers.hold(1)).toThrow();
  releases[1]?.();
  offers.hold(40);
});

const some = fc.record({
  agentId: fc.string(),
  executions: fc.array(
    fc.record({ executionId: fc.string(), attempt: fc.nat(), phase: fc.integer({ min: 0, max: 3 }) }),
  ),
  generation: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  capabilities: fc.array(fc.string()),
});

test('all but the executions is left as it was, wherever they stand', () => {
  fc.assert(
    fc.property(some, some, (one, two) => {
      // Fields of a message may come in any order, and again.
      const bytes = Buffer.concat(
        [one, two].map((offer) => toBinary(HelloOfferSchema, create(HelloOfferSchema, offer))),
      );
      const whole = fromBinary(HelloOfferSchema, bytes);
      expect(fromBinary(HelloOfferSchema, withoutAccount(bytes))).toEqual({ ...whole, executions: [] });
    }),
  );
});

test('bytes that are no message are refused or read, and that is all', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
      try {
        expect(withoutAccount(bytes).byteLength).toBeLessThanOrEqual(bytes.byteLength);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }),
  );
});
